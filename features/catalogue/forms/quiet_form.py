"""The form of `quiet_hours`, in the customer's own time zone."""

from typing import Self

from pydantic import Field, model_validator

from features.catalogue.forms.fields import MINUTES_OF_DAY, ClockTime, Country, FileModel, Weekday, Zone


class QuietRuleFile(FileModel):
    """A time of rest; all that is named must fit. Without hours it is the whole day."""

    begins: ClockTime | None = Field(default=None, alias="from", description='Hour when rest begins, such as "21:00"')
    ends: ClockTime | None = Field(default=None, alias="until", description='Hour when it ends, such as "08:00"')
    channels: tuple[str, ...] = Field(default=(), description="Channels it is for; none means all")
    countries: tuple[Country, ...] = Field(default=(), description="Countries it is for; none means all")
    days: tuple[Weekday, ...] = Field(default=(), description="Weekdays on which rest begins; none means every day")
    holidays: bool = Field(default=False, description="Only on public holidays")

    @model_validator(mode="after")
    def _has_both_hours(self) -> Self:
        if (self.begins is None) != (self.ends is None):
            raise ValueError("must have both `from` and `until`, or neither for the whole day")
        if self.begins == MINUTES_OF_DAY:
            raise ValueError('must have `from` before 24:00: write "00:00" for the beginning of a day')
        if self.begins is not None and self.begins == self.ends:
            raise ValueError("must have `from` and `until` that differ; leave both out for the whole day")
        return self


class QuietHoursFile(FileModel):
    """All times of rest."""

    rules: tuple[QuietRuleFile, ...] = Field(default=(), description="Times of rest")
    countries: tuple[Country, ...] = Field(default=(), description="Countries whose public holidays count")
    unknown_zones: tuple[Zone, ...] = Field(
        default=("UTC",),
        min_length=1,
        description="Zones that a customer may live in of whom nothing is known: all must be awake",
    )

    @model_validator(mode="after")
    def _names_countries(self) -> Self:
        for rule in self.rules:
            if rule.holidays and not (rule.countries or self.countries):
                raise ValueError("must name the `countries` whose public holidays count")
        return self
