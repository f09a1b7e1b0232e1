"""How handlers are found, and what is said when one cannot be."""

import sys
from pathlib import Path

import pytest

from orchestrator.discovery import Handlers, discover, load
from orchestrator.domain.errors import HandlerBroken
from orchestrator.sdk import Handler, task

ONE = """
from orchestrator.sdk import task
@task("{name}")
async def work(payload: dict) -> None:
    \"\"\"Work.\"\"\"
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory whose modules can be imported, and are forgotten afterwards."""
    known = set(sys.modules)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in set(sys.modules) - known:
        del sys.modules[name]


def make(name: str) -> Handler:
    @task(name)
    async def made(payload: dict) -> None:
        pass

    return made


def test_the_built_in_handlers_are_found_each_in_a_module_of_its_name():
    found = discover([])
    assert {"http_request", "webhook_process"} <= set(found)
    for name in found.known():
        assert found.source(name) == f"handlers.{name}"


def test_modules_and_files_are_loaded_and_may_hold_several(here: Path):
    (here / "mine.py").write_text(ONE.format(name="one") + ONE.format(name="two").replace("work", "more"))
    (here / "folder").mkdir()
    (here / "folder" / "json.py").write_text(ONE.format(name="three"))
    found = discover(["mine", "folder/json.py"])
    assert {"one", "two", "three"} <= set(found)
    assert (found.source("two"), found.source("three")) == ("mine", "folder/json.py")
    assert found.known() == sorted(found)
    assert [handler.name for handler in load("folder/json.py")] == ["three"]
    assert sys.modules["json"].__file__ != str(here / "folder" / "json.py")


def test_a_module_that_passes_handlers_on_brings_each_once(here: Path):
    (here / "deep.py").write_text(ONE.format(name="deep"))
    (here / "front.py").write_text("from deep import work\nalias = work\n")
    assert len(load("front")) == 1
    found = discover(["front", "deep"])
    assert found.source("deep") == "front"


def test_entry_points_are_found(here: Path):
    (here / "plugin.py").write_text(ONE.format(name="plugged") + ONE.format(name="also").replace("work", "also"))
    metadata = here / "plugin-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: plugin\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[aurea.handlers]\nwhole = plugin\none = plugin:work\n")
    found = discover([])
    assert {"plugged", "also"} <= set(found)
    assert found.source("plugged") == "plugin"
    (metadata / "entry_points.txt").write_text("[aurea.handlers]\nwrong = plugin:nothing\n")
    with pytest.raises(HandlerBroken, match=r"the entry point wrong = plugin:nothing does not load: .*AttributeError"):
        discover([])
    (metadata / "entry_points.txt").write_text("[aurea.handlers]\nwrong = plugin:__name__\n")
    with pytest.raises(HandlerBroken, match="is no handler and holds none"):
        discover([])


@pytest.mark.parametrize(
    ("source", "place", "last_line"),
    [
        ("import nothing_like_this", "broken.py, line 1: ", "ModuleNotFoundError: No module named 'nothing_like_this'"),
        ("\n\nx = 1 / 0", "broken.py, line 3: ", "ZeroDivisionError: division by zero"),
        ("x = (", "broken.py, line 1: ", "SyntaxError: '(' was never closed"),
        ("import sys\nsys.exit('bye')", "broken.py, line 2: ", "SystemExit: bye"),
        (
            "from orchestrator.sdk import task\n@task('x')\ndef x(payload): ...",
            "broken.py, line 2: ",
            "TypeError: @task('x') on x: its first parameter is the payload and needs a type",
        ),
    ],
)
@pytest.mark.parametrize("entry", ["broken", "broken.py"])
def test_a_module_that_does_not_import_names_its_file_and_the_reason(
    here: Path, entry: str, source: str, place: str, last_line: str
):
    (here / "broken.py").write_text(source)
    with pytest.raises(HandlerBroken) as broken:
        discover([entry])
    assert str(broken.value).startswith(f"{entry} does not load: {here}/")
    assert place in str(broken.value)
    assert last_line in str(broken.value)
    assert "\n" not in str(broken.value)


def test_a_module_that_is_not_there_or_holds_no_handler_is_named(here: Path):
    with pytest.raises(HandlerBroken, match="nowhere does not load: ModuleNotFoundError: No module named 'nowhere'"):
        discover(["nowhere"])
    with pytest.raises(HandlerBroken, match=rf"there is no file {here}/nowhere.py"):
        discover(["nowhere.py"])
    (here / "empty.py").write_text("")
    with pytest.raises(HandlerBroken, match="empty holds no handler"):
        discover(["empty"])


def test_a_built_in_module_holds_exactly_one_handler(here: Path, monkeypatch: pytest.MonkeyPatch):
    (here / "built").mkdir()
    (here / "built" / "__init__.py").write_text("")
    (here / "built" / "two.py").write_text(ONE.format(name="a") + ONE.format(name="b").replace("work", "b"))
    monkeypatch.setattr("orchestrator.discovery.BUILT_IN", "built")
    with pytest.raises(HandlerBroken, match=r"built.two holds 2 handlers"):
        discover([])


def test_two_handlers_of_one_name_are_refused(here: Path):
    (here / "first.py").write_text(ONE.format(name="same"))
    (here / "second.py").write_text(ONE.format(name="same"))
    with pytest.raises(HandlerBroken, match=r"two handlers are called 'same', in first and in second.py"):
        discover(["first", "second.py"])
    one = make("one")
    assert Handlers([one, one]).known() == ["one"]
    with pytest.raises(HandlerBroken):
        Handlers([one, make("one")])


def test_a_file_runs_once_in_a_process_unless_it_failed(here: Path):
    (here / "mine.py").write_text("with open('runs', 'a') as runs:\n    runs.write('x')\n" + ONE.format(name="one"))
    assert discover(["mine.py"])["one"] is discover(["mine.py"])["one"]
    assert (here / "runs").read_text() == "x"
    (here / "broken.py").write_text("import nothing_of_that_name")
    for _ in range(2):
        with pytest.raises(HandlerBroken, match="nothing_of_that_name"):
            load("broken.py")
