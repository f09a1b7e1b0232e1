-- A task that waits for the next day's money is told apart from one that sleeps: a limit that is raised wakes it.

alter table orchestrator_tasks add column awaits_money boolean not null default false;

create index orchestrator_tasks_moneyless on orchestrator_tasks (tenant, id) where awaits_money;
