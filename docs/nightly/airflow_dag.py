"""The nightly loop as an Airflow DAG; the task is shown as skipped where there was nothing new."""

from datetime import UTC, datetime, timedelta

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG

HOME = {"NEXTBEST_HOME": "/var/lib/nextbest/home", "NEXTBEST_MLRUNS": "/var/lib/nextbest/mlruns"}

# 3, 5 and 65 are no failures: too little data to train, a refused model, rejected rows
COMMAND = """
code=0
nextbest pipeline run --data /srv/nextbest/delivery --json --exit-code || code=$?
case $code in 3|5|65) exit 0;; *) exit $code;; esac
"""

with DAG(
    dag_id="nextbest_nightly",
    schedule="10 3 * * *",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,  # a run takes all there is; there is nothing to catch up with
    max_active_runs=1,
) as dag:
    BashOperator(
        task_id="pipeline_run",
        bash_command=COMMAND,
        env=HOME,
        append_env=True,
        skip_on_exit_code=10,
        retries=3,  # a run that failed goes on where it stood
        retry_delay=timedelta(minutes=10),
        execution_timeout=timedelta(hours=6),
    )
