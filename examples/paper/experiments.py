"""Every figure: which library, which networks, what is varied, which algorithms.

Numbers are those of the network presets unless ``parameters`` say otherwise; all are our assumptions (trimcache/network/presets.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["EXPERIMENTS", "LIBRARIES", "Experiment", "Panel"]

LIBRARIES = {"paper-special": 300, "paper-general": 300, "llm-lora": 100}
"""Generated libraries: preset -> models, drawn with seed 0. One more, ``real``, is scanned."""

MB, GB, GBPS = 10**6, 10**9, 1e9

AS_READ, SLOW = "10 Gbit/s backhaul", "1 Gbit/s backhaul"
ROOMY, TIGHT = f"{AS_READ}, 1 GB a server", f"{SLOW}, 250 MB a server"


@dataclass(frozen=True)
class Panel:
    """One part of a figure; several of one title are drawn in one place.

    Attributes:
        library: key of ``LIBRARIES``, or ``"real"``.
        values: of the experiment's ``x``.
        algorithms: differences are taken to the first.
        parameters: of ``Setting``, by full name, beside ``x``.
        mobility: users move for two hours, by the model of that name.
    """

    title: str
    library: str
    values: tuple[Any, ...]
    algorithms: tuple[str, ...]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    mobility: str | None = None


@dataclass(frozen=True)
class Experiment:
    """One figure.

    Attributes:
        x: the parameter along the axis.
        y: the column drawn.
        lines: algorithms drawn; the tables hold all.
        topologies: at most so many (timing needs fewer).
        timed: one process, so that algorithms do not wait for each other.
    """

    name: str
    title: str
    x: str
    panels: tuple[Panel, ...]
    lines: tuple[str, ...]
    y: str = "hit_ratio_fading"
    topologies: int | None = None
    timed: bool = False


_OURS = ("gen-ratio", "spec-tree", "resolve", "auto")
_BASELINES = {"paper-special": ("gen", "spec", "independent"), "paper-general": ("gen", "independent"), "real": ("gen", "independent")}
_LINES = {"paper-special": ("auto", "spec", "gen-ratio", "gen", "independent")}
_GENERAL_LINES = ("auto", "spec-tree", "gen-ratio", "gen", "independent")  # the paper has Spec for the special case only
_CAPACITIES = tuple(q * MB for q in (100, 150, 250, 500, 750, 1000, 1250, 1500))


def _sweep(library: str, name: str, title: str, x: str, panels: tuple[tuple[str, tuple[Any, ...], dict[str, Any]], ...]) -> Experiment:
    """Against servers and users without ``auto``, whose time limit would be most of the run: ``resolve`` stands for ours there."""
    algorithms, lines = _BASELINES[library] + _OURS, _LINES.get(library, _GENERAL_LINES)
    if x != "capacity_bytes":
        algorithms, lines = algorithms[:-1], ("resolve", *lines[1:])
    made = tuple(Panel(text, library, values, algorithms, parameters) for text, values, parameters in panels)
    return Experiment(name, title, x, made, lines)


def _three(library: str, short: str, words: str) -> tuple[Experiment, ...]:
    """Hit ratio against Q, M and K: as in our reading of the paper, and where storage is tight."""
    fast, slow = {"n_models": 30}, {"n_models": 30, "backhaul_bps": GBPS}
    roomy, tight = fast | {"capacity_bytes": GB}, slow | {"capacity_bytes": 250 * MB}
    servers, users = (6, 8, 10, 12, 14), (10, 20, 30, 40, 50)
    q, m, k = (f"Hit ratio against {what}, {words}" for what in ("capacity", "servers", "users"))
    both = ((AS_READ, _CAPACITIES, fast), (SLOW, _CAPACITIES, slow))
    return (
        _sweep(library, f"{short}-capacity", q, "capacity_bytes", both),
        _sweep(library, f"{short}-servers", m, "n_servers", ((ROOMY, servers, roomy), (TIGHT, servers, tight))),
        _sweep(library, f"{short}-users", k, "n_users", ((ROOMY, users, roomy), (TIGHT, users, tight))),
    )


def _many_models() -> Experiment:
    """A library ten times as large does not saturate with the paper's backhaul either. Spec's enumeration does not end there."""
    panels = tuple(
        Panel(text, library, tuple(q * MB for q in (250, 500, 1000, 1500, 2000)), ("gen", "independent", *_OURS), {"n_models": 300})
        for text, library in (("special case, 300 models", "paper-special"), ("general case, 300 models", "paper-general"))
    )
    title = "Hit ratio against capacity, 300 models, 10 Gbit/s backhaul"
    return Experiment("many-models", title, "capacity_bytes", panels, _GENERAL_LINES, topologies=20)


def _real() -> tuple[Experiment, ...]:
    """The demo's fine-tunes, all of them on every topology."""
    fast, slow = {"capacity_bytes": 200 * MB}, {"capacity_bytes": 200 * MB, "backhaul_bps": GBPS}
    capacities = tuple(q * MB for q in (50, 100, 150, 200, 400, 600))
    titles = [text.replace("250", "200").replace("1 GB", "200 MB") for text in (ROOMY, TIGHT)]
    words = "real fine-tunes"
    both = ((AS_READ, capacities, {}), (SLOW, capacities, {"backhaul_bps": GBPS}))
    servers, users = (6, 10, 14), (10, 30, 50)
    return (
        _sweep("real", "real-capacity", f"Hit ratio against capacity, {words}", "capacity_bytes", both),
        _sweep("real", "real-servers", f"Hit ratio against servers, {words}", "n_servers",
               ((titles[0], servers, fast), (titles[1], servers, slow))),
        _sweep("real", "real-users", f"Hit ratio against users, {words}", "n_users", ((titles[0], users, fast), (titles[1], users, slow))),
    )  # fmt: skip


def _optimum() -> tuple[Experiment, ...]:
    small = {"preset": "paper-small", "n_models": 9, "stop_gap": 0.0}
    of = {"special case": "paper-special", "general case": "paper-general"}
    capacities = tuple(q * MB for q in (50, 100, 150, 200, 300, 400))
    four = capacities[1:5]
    lines = ("exhaustive", "auto", "spec", "gen-ratio", "gen", "independent", "random")
    ratio = tuple(Panel(text, name, four, ("gen", "exhaustive", *(n for n in lines if n not in ("gen", "exhaustive")), "spec-tree"),
                        small) for text, name in of.items())  # fmt: skip
    timed = ("gen", "exhaustive", "mip", "auto", "resolve", "spec", "spec-tree", "independent")
    seconds = tuple(Panel(text, name, capacities, timed, small | {"n_realisations": 0, "time_limit_s": 5.0}) for text, name in of.items())
    drawn = ("mip", "exhaustive", "spec", "resolve", "spec-tree", "gen")
    return (
        Experiment("optimum", "Hit ratio on the small case: 2 servers, 6 users, 9 models", "capacity_bytes", ratio, lines),
        Experiment("optimum-time", "Time to place the small case", "capacity_bytes", seconds, drawn, "seconds", 10, timed=True),
    )


def _time() -> Experiment:
    tight = {"capacity_bytes": 250 * MB, "backhaul_bps": GBPS, "n_realisations": 0, "time_limit_s": None}
    rest = ("gen", "gen-ratio", "independent", "spec-tree", "resolve")
    panels = []
    for text, library, with_spec in (
        ("special case", "paper-special", (10, 20, 30, 40)), ("general case", "paper-general", (10, 20, 30)),
    ):  # fmt: skip
        panels.append(Panel(text, library, with_spec, (*rest, "spec"), tight))
        panels.append(Panel(text, library, tuple(n for n in (10, 20, 30, 40, 60, 100, 200, 300) if n not in with_spec), rest, tight))
    drawn = ("spec", "resolve", "spec-tree", "gen-ratio", "gen", "independent")
    title = "Time to place, 1 Gbit/s backhaul, 250 MB a server"
    return Experiment("time", title, "n_models", tuple(panels), drawn, "seconds", 20, timed=True)


def _mobility() -> tuple[Experiment, ...]:
    panels = ((ROOMY, {"capacity_bytes": GB}), (TIGHT, {"capacity_bytes": 250 * MB, "backhaul_bps": GBPS}))
    lines = ("gen", "spec-tree", "independent")
    return tuple(
        Experiment(
            name,
            f"Two hours of {words} without re-placement, special case",
            "time_s",
            tuple(Panel(text, "paper-special", (), lines, {"n_models": 30} | given, mobility=words.replace(" ", "-"))
                  for text, given in panels),
            ("spec-tree", "gen", "independent"),
            "hit_ratio",
        )
        for name, words in (("mobility-waypoint", "random waypoint"), ("mobility-direction", "random direction"))
    )  # fmt: skip


def _language_models() -> Experiment:
    capacities = tuple(q * GB for q in (16, 20, 30, 45, 60, 100))
    given = {"preset": "download", "n_models": 60}
    algorithms = ("gen", "independent", *_OURS)
    panels = (
        Panel(AS_READ, "llm-lora", capacities, algorithms, given),
        Panel("200 Mbit/s backhaul: no relay is in time", "llm-lora", capacities, algorithms, given | {"backhaul_bps": 0.2 * GBPS}),
    )
    return Experiment(
        "llm-capacity", "Hit ratio against capacity, LoRA fine-tunes of 7-8 B models", "capacity_bytes", panels, _GENERAL_LINES
    )


EXPERIMENTS: tuple[Experiment, ...] = (
    *_three("paper-special", "special", "special case"),
    *_three("paper-general", "general", "general case"),
    _many_models(),
    *_optimum(),
    _time(),
    *_mobility(),
    _language_models(),
    *_real(),
)
"""In the order of docs/paper.md."""
