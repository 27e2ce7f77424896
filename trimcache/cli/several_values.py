"""Options that take several values at once: ``--if-deleted a b c``, besides the usual ``--if-deleted a --if-deleted b``."""

from __future__ import annotations

import click


class SeveralValues(click.Command):
    """Every option with ``multiple=True`` takes all values up to the next option, once the command's arguments have been given.

    ``stats CATALOG --if-deleted a b`` names two models; ``stats --if-deleted a CATALOG`` one, as its argument is still to come.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        options = {name: param for param in self.params if isinstance(param, click.Option) for name in param.opts}
        awaited = sum(isinstance(param, click.Argument) for param in self.params)
        spread: list[str] = []
        taking: str | None = None  # the option that further values belong to
        is_value = False
        for index, word in enumerate(args):
            if word == "--":
                spread += args[index:]
                break
            if is_value:
                is_value = False
            elif word.startswith("-") and word != "-":
                option = options.get(word)
                is_value = option is not None and not option.is_flag
                taking = word if option is not None and option.multiple else None
            elif awaited:
                awaited -= 1
                taking = None
            elif taking is not None:
                spread.append(taking)
            spread.append(word)
        return super().parse_args(ctx, spread)
