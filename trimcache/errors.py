"""Every error trimcache raises on purpose.

    TrimcacheError                      exit code 2: nothing could be done
    +-- UsageError                      wrong arguments, sizes, names of options
    +-- SourceError                     exit code 1: this source is skipped, the others go on
    |   +-- SourceNotFoundError         no such file, folder or scheme
    |   +-- SourceUnreadableError       it exists but the bytes cannot be read
    |   +-- SourceChangedError          it changed (shrank, was replaced) while it was read
    |   +-- NoWeightsError              nothing in it that an extractor understands
    |   +-- FormatError                 the bytes break the rules of their format
    +-- CatalogError                    a catalog cannot be opened, read or extended
    |   +-- CatalogNotFoundError
    |   +-- CatalogRulesError           made with another digest, granularity or origin
    |   +-- CatalogVersionError         written by a newer trimcache
    |   +-- CatalogCorruptError         a file of the catalog is damaged
    |   +-- ModelNameError              no model, or more than one, has that name
    +-- GraphError                      a model-block graph is inconsistent or cannot be read
    +-- NetworkError                    an edge network is inconsistent or cannot be read
    +-- ProblemError                    a placement problem is ill-posed (shapes, NaN, negative demand)
    +-- PlanError                       a plan cannot be read, or does not fit its catalog
    +-- SimulationError                 a simulation cannot go on: a worker died, its journal is another's

An error is one line: what it concerns (a file, a model, a flag), what is wrong, and what to do about it.
"""

from __future__ import annotations


class TrimcacheError(Exception):
    """Base class. ``subject`` names the thing at fault, ``problem`` what is wrong, ``fix`` what to do."""

    exit_code = 2

    def __init__(self, subject: str, problem: str, fix: str = "") -> None:
        super().__init__(subject, problem, fix)
        self.subject = subject
        self.problem = problem
        self.fix = fix

    def __str__(self) -> str:
        line = ": ".join(part for part in (self.subject, self.problem) if part)
        if self.fix:
            line = f"{line}; {self.fix}"
        # File names and header text are hostile: a line break or an escape code in one must not become ours.
        return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)


class UsageError(TrimcacheError):
    """Wrong arguments."""


class SourceError(TrimcacheError):
    """One source cannot be scanned; the others go on."""

    exit_code = 1


class SourceNotFoundError(SourceError):
    """The source does not exist."""


class SourceUnreadableError(SourceError):
    """The source exists but its bytes cannot be read."""


class SourceChangedError(SourceError):
    """The source changed while it was read, so what was read describes no version of it."""


class NoWeightsError(SourceError):
    """Nothing in the source is a weight file that an extractor understands."""


class FormatError(SourceError):
    """The bytes break the rules of the format they claim to be."""


class CatalogError(TrimcacheError):
    """A catalog cannot be opened, read or extended."""


class CatalogNotFoundError(CatalogError):
    """There is no catalog at that path."""


class CatalogRulesError(CatalogError):
    """The catalog was made with other rules, so blocks would not be comparable."""


class CatalogVersionError(CatalogError):
    """The catalog was written by a newer trimcache."""


class CatalogCorruptError(CatalogError):
    """A file of the catalog is damaged."""


class ModelNameError(CatalogError):
    """No model, or more than one, has the given name."""


class GraphError(TrimcacheError):
    """A model-block graph is inconsistent or cannot be read."""


class NetworkError(TrimcacheError):
    """An edge network is inconsistent or cannot be read."""


class ProblemError(TrimcacheError):
    """A placement problem is ill-posed."""


class PlanError(TrimcacheError):
    """A plan cannot be read or does not fit its catalog."""


class SimulationError(TrimcacheError):
    """A simulation cannot go on."""
