"""The form of `engagement`: what opens and clicks count for that machines made."""

from pydantic import Field

from features.catalogue.forms.fields import FileModel, Share


class EngagementFile(FileModel):
    """How opens and clicks of machines are counted."""

    machine_weight: Share = Field(default=0.0, description="What one counts for beside a person's, from 0 to 1")
    scanned_channels: tuple[str, ...] | None = Field(
        default=None,
        description="Channels on which programs open and click, so that timing tells them; default those whose messages"
        " have a subject",
    )
