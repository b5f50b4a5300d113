"""Limits on what is under way at once: kept whatever comes, and nothing waits for ever."""

from collections import Counter
from dataclasses import replace
from random import Random
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from probe.lanes import LaneLimits, Lanes
from probe.values import Job
from tests.probe.conftest import make_job

LIMITS = LaneLimits(per_host=2, per_team=3, per_kind={"tcp": 1})
TEAMS = [UUID(int=number) for number in range(2)]
JOB = make_job("tcp", "127.0.0.1:9")


def a_job(host: str, team: UUID, kind: str) -> Job:
    return replace(JOB, spec=replace(JOB.spec, host=host, team_id=team, kind=kind))


jobs = st.builds(
    a_job, st.sampled_from(["a", "b", ""]), st.sampled_from(TEAMS), st.sampled_from(["tcp", "dns"])
)


@given(st.lists(jobs, max_size=40), st.randoms(use_true_random=False))
def test_no_lane_is_ever_overfull_and_every_job_begins_once(
    arriving: list[Job], chance: Random
) -> None:
    lanes, under_way, begun = Lanes(LIMITS), [], []

    def begin(job: Job) -> None:
        under_way.append(job)
        begun.append(job)
        hosts = Counter(one.spec.host for one in under_way if one.spec.host)
        teams = Counter(one.spec.team_id for one in under_way)
        assert max(hosts.values(), default=0) <= 2
        assert max(teams.values()) <= 3
        assert sum(one.spec.kind == "tcp" for one in under_way) <= 1

    todo = list(arriving)
    while todo or under_way:
        if todo and (not under_way or chance.random() < 0.5):
            job = todo.pop()
            if lanes.enter(job):
                begin(job)
        else:
            ended = under_way.pop(chance.randrange(len(under_way)))
            for job in lanes.leave(ended):
                begin(job)
        assert lanes.queued == len(arriving) - len(todo) - len(begun)
    assert sorted(map(id, begun)) == sorted(map(id, arriving))


def test_what_waits_can_be_taken_out() -> None:
    lanes = Lanes(LIMITS)
    waiting = [a_job("a", TEAMS[0], "tcp") for _ in range(3)]
    assert [lanes.enter(job) for job in waiting] == [True, False, False]
    assert lanes.empty_queues() == waiting[1:]
    assert lanes.queued == 0
