"""The form of `goals` and `stages`: where customers stand."""

from pydantic import Field

from features.catalogue.forms.fields import FileModel, Identifier, Text
from features.catalogue.forms.rule_form import RuleFile


class GoalFile(FileModel):
    """What a department wants."""

    department: Text = Field(description="Who owns it")


class StageFile(FileModel):
    """A stage of the journey; the first whose rule fits a customer wins."""

    stage: Identifier = Field(description="Name")
    goal: str = Field(description="The goal of customers in this stage")
    entry: RuleFile | None = Field(default=None, description="Rule that puts a customer here; none fits everybody")
