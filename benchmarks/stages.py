"""What each stage of metering costs: µs of processor time per event, in the thread that does it."""

from __future__ import annotations

import json
from collections.abc import Iterator

from benchmarks.figures import Figure
from benchmarks.metering_run import run_metering
from benchmarks.session import Session


def stages(session: Session) -> Iterator[Figure]:
    """Run the worker with clocks in it. Its own pace is told too: the clocks cost next to nothing."""
    log = session.filled_log(session.main_shape())
    answer = session.engines.state_dir / "stages.json"
    run = run_metering(session.engines, log, program=("benchmarks.stage_timers", str(answer)))
    for stage, cost in json.loads(answer.read_text()).items():
        if cost["cpu"] is None:
            continue
        details = {"wall_us": round(cost["wall"], 2)} if "wall" in cost else {}
        yield Figure(f"stage_{stage}", cost["cpu"], "µs/event", on=log.named(), details=details)
    for process, cost in run.cpu_us.items():
        yield Figure(f"process_{process}", cost, "µs/event", on=log.named())
