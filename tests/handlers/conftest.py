"""The server of the fakes says a line for each request, and saying it takes as long as answering."""

import logging

logging.getLogger("werkzeug").setLevel(logging.WARNING)
