"""The record of a public report."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Citation:
    """A mistake that somebody really made.

    Attributes:
        id: the id, such as `A1`.
        name: short, in hyphens.
        sentence: what the code does, and what it should do.
        reports: `owner/repository#number` or `owner/repository@commit`; empty for folklore.
    """

    id: str
    name: str
    sentence: str
    reports: tuple[str, ...] = ()

    @property
    def link(self) -> str:
        """Return the address of the first report; empty for folklore."""
        if not self.reports:
            return ""
        first = self.reports[0]
        if "#" in first:
            repository, number = first.split("#")
            return f"https://github.com/{repository}/issues/{number}"
        repository, commit = first.split("@")
        return f"https://github.com/{repository}/commit/{commit}"
