"""What the stores remember: jobs, their progress, events and artifacts, models and datasets."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, ClassVar, Generic, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from jobs.errors import problem_title, problem_type
from jobs.spec import JobSpec
from jobs.status import JobStatus
from pruning.errors import PruningError
from pruning.model_layout import Format
from pruning.progress import Phase

Item = TypeVar("Item")


def _require_utc(at: datetime) -> datetime:
    if at.tzinfo is None:
        raise ValueError("A time needs a time zone, such as UTC.")
    return at


Time = Annotated[datetime, AfterValidator(_require_utc)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


# What `pruning.progress.Progress` tells, checked, with the time left; the metrics of a job are beside it.
class Progress(_Frozen):
    """How far a running job is."""

    phase: Phase
    iteration: int | None = Field(default=None, ge=0)
    num_iterations: int | None = Field(default=None, ge=1, description="Null if only a target decides.")
    epoch: int | None = Field(default=None, ge=0)
    num_epochs: int | None = Field(default=None, ge=0)
    fraction: float | None = Field(default=None, ge=0, le=1, description="Completed fraction of the job.")
    eta_seconds: float | None = Field(
        default=None, ge=0, description="Estimated time left, at least one second while the job runs; null if unknown."
    )
    message: str | None = Field(default=None, max_length=2000)


class JobError(_Frozen):
    """Why a job failed: a problem (RFC 9457) without a status."""

    type: str
    title: str
    detail: str
    field: str | None = None
    received: str | None = None
    expected: str | None = None
    hint: str | None = None

    @classmethod
    def of(cls, code: str, detail: str, **fields: str | None) -> JobError:
        """Make an error from the stable name of its kind and a sentence for people."""
        return cls(type=problem_type(code), title=problem_title(code), detail=detail, **fields)

    @classmethod
    def from_exception(cls, error: PruningError) -> JobError:
        """Make an error from what the library or the service refused."""
        fields = error.as_dict()
        return cls.of(fields.pop("code"), fields.pop("detail"), **fields)

    @property
    def code(self) -> str:
        """The stable name of the kind of error."""
        return self.type.rsplit("/", 1)[-1]


class ArtifactRecord(_Frozen):
    """One downloadable result of a job."""

    name: str
    media_type: str
    size_bytes: int = Field(ge=0)
    sha256: str
    candidate: str | None = Field(
        default=None, description="Name of the candidate in the report, for files of candidates."
    )
    is_baseline: bool = Field(
        default=False, description="Whether the candidate is a baseline, which is never delivered."
    )


class JobRecord(_Frozen):
    """A job as its owner sees it; lease and fence stay inside the store."""

    id: str
    name: str | None = None
    status: JobStatus
    spec: JobSpec
    attempt: int = Field(ge=0, description="Number of times a worker has started the job.")
    version: int = Field(ge=0, description="Increases with every change.")
    cancel_requested: bool = False
    created_at: Time
    started_at: Time | None = None
    finished_at: Time | None = None
    progress: Progress | None = None
    metrics: dict[str, float] = Field(
        default={}, description="Latest metrics and sizes. Names of validation metrics start with `val_`."
    )
    error: JobError | None = None
    goal_met: bool | None = Field(
        default=None,
        description="Whether the delivered model meets all targets and max_metric_drop; null until the job has "
        "succeeded.",
    )
    stopped_because: str | None = Field(
        default=None, description="Why pruning stopped and, if the goal is not met, which limit is missed."
    )
    artifacts: tuple[ArtifactRecord, ...] = ()

    @property
    def is_finished(self) -> bool:
        """Whether the job can never change again."""
        return self.status.is_finished


class Event(_Frozen):
    """Something that happened to a job."""

    id: str = Field(description="Cursor of the event, ascending within the job.")
    kind: Literal["status", "progress"]
    at: Time
    data: dict[str, Any]

    @property
    def is_last(self) -> bool:
        """Whether no event can follow."""
        return self.kind == "status" and JobStatus(self.data["status"]).is_finished


class ModelRecord(_Frozen):
    """An uploaded model."""

    kind: ClassVar[str] = "model"
    collection: ClassVar[str] = "models"
    prefix: ClassVar[str] = "mdl_"

    id: str
    filename: str
    format: Format
    size_bytes: int = Field(ge=0)
    sha256: str
    layers: tuple[str, ...] | None = Field(description="Layer paths; null for h5.")
    created_at: Time


class ArrayInfo(_Frozen):
    """One array of an uploaded .npz."""

    name: str
    dtype: str
    shape: tuple[int, ...]


class ClassInfo(_Frozen):
    """One class of an uploaded image folder."""

    name: str
    num_train: int = Field(ge=0)
    num_validation: int | None = Field(default=None, ge=0, description="Null if there is no validation folder.")


class ImagesInfo(_Frozen):
    """The images of an uploaded zip."""

    targets: Literal["classes", "masks", "table"] | None = Field(
        description="Source of the targets: class folders, masks or a CSV; null for unlabelled images."
    )
    num_train: int = Field(ge=0)
    num_validation: int | None = Field(default=None, ge=0, description="Null if there are no validation images.")
    num_test: int | None = Field(default=None, ge=0, description="Null if there are no test images with targets.")
    columns: tuple[str, ...] | None = Field(default=None, description="Target columns of the CSV.")


class DatasetRecord(_Frozen):
    """An uploaded dataset."""

    kind: ClassVar[str] = "dataset"
    collection: ClassVar[str] = "datasets"
    prefix: ClassVar[str] = "dst_"

    id: str
    filename: str
    format: Literal["npz", "image_folder"]
    size_bytes: int = Field(ge=0)
    sha256: str
    arrays: tuple[ArrayInfo, ...] | None = None
    images: ImagesInfo | None = None
    classes: tuple[ClassInfo, ...] | None = None
    labelled: bool = Field(default=True, description="Whether the dataset has targets.")
    created_at: Time


class Page(_Frozen, Generic[Item]):
    """One page of a list."""

    items: tuple[Item, ...]
    next_cursor: str | None = Field(
        default=None, description="Pass as `cursor` to get the next page; null on the last page."
    )
