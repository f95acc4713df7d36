import pytest
from pydantic import ValidationError

from jobs.record import JobError
from jobs.spec import JobSpec
from jobs.status import FINISHED, TRANSITIONS, JobStatus
from pruning.errors import DataError

pytestmark = pytest.mark.fast


def test_a_spec_survives_json_and_keeps_its_digest() -> None:
    spec = JobSpec.model_validate({"model": "mdl_1", "pruning": {"ratio": 0.5, "ratios": {"a.*": 0.25}}})
    again = JobSpec.model_validate_json(spec.model_dump_json())
    assert again == spec
    assert again.digest() == spec.digest()
    assert JobSpec.model_validate({"model": "mdl_2", "pruning": {"ratio": 0.5}}).digest() != spec.digest()


def test_only_a_name_can_be_sent_to_a_service() -> None:
    with pytest.raises(ValidationError, match="criterion by name"):
        JobSpec.model_validate({"model": "mdl_1", "pruning": {"ratio": 0.5, "criterion": lambda weights: weights}})
    with pytest.raises(ValidationError, match="criterion by name"):
        JobSpec.model_validate(
            {"model": "mdl_1", "pruning": {"ratio": 0.5, "sweep": {"criteria": [lambda weights: 0]}}}
        )
    pruning = {"ratio": 0.5, "num_iterations": 2, "schedule": lambda iteration, num_iterations: 1.0}
    with pytest.raises(ValidationError, match="schedule by name"):
        JobSpec.model_validate({"model": "mdl_1", "pruning": pruning})


def test_a_job_reads_the_uploads_it_names() -> None:
    pruning = {"ratio": 0.5}
    builtin = JobSpec.model_validate({"model": "mdl_1", "dataset": "digits", "pruning": pruning})
    uploaded = JobSpec.model_validate({"model": "mdl_1", "dataset": "dst_1", "pruning": pruning})
    assert builtin.input_ids == {"model": "mdl_1"}
    assert uploaded.input_ids == {"model": "mdl_1", "dataset": "dst_1"}


def test_a_finished_job_stays_as_it_is() -> None:
    assert set(FINISHED) == {JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED}
    assert not any(status.can_become(other) for status in FINISHED for other in JobStatus)
    assert set(TRANSITIONS) == set(JobStatus)


def test_an_error_of_the_library_becomes_a_problem() -> None:
    error = JobError.from_exception(DataError("too small", field="x_train", hint="Add samples."))
    assert (error.type, error.title) == ("/problems/unusable-dataset", "Unusable dataset")
    assert (error.detail, error.field, error.hint, error.code) == ("too small", "x_train", "Add samples.", error.code)
