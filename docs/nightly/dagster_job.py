"""The nightly loop as a Dagster job; what each step did stands with the run's output."""

import json
import os
import subprocess

import dagster

HOME = {"NEXTBEST_HOME": "/var/lib/nextbest/home", "NEXTBEST_MLRUNS": "/var/lib/nextbest/mlruns"}
COMMAND = ("nextbest", "pipeline", "run", "--data", "/srv/nextbest/delivery", "--json")
NO_FAILURE = {0, 3, 5, 65}  # too little data to train, a refused model, rejected rows: the rest was done


@dagster.op(retry_policy=dagster.RetryPolicy(max_retries=3, delay=600))
def pipeline_run(context: dagster.OpExecutionContext) -> str:
    """Run the loop; where it fails, the next try goes on where it stood."""
    done = subprocess.run(COMMAND, env={**os.environ, **HOME}, capture_output=True, text=True, check=False)
    if done.returncode not in NO_FAILURE:
        raise dagster.Failure(done.stderr.strip(), metadata={"exit_code": done.returncode})
    told = json.loads(done.stdout)
    context.add_output_metadata({step["step"]: f"{step['result']}: {step['what']}" for step in told["steps"]})
    return told["outcome"]


@dagster.job
def nextbest_nightly() -> None:
    """One step: the command knows what depends on what."""
    pipeline_run()


defs = dagster.Definitions(
    jobs=[nextbest_nightly],
    schedules=[dagster.ScheduleDefinition(job=nextbest_nightly, cron_schedule="10 3 * * *")],
)
