"""`Window`: a rectangle of pixels of a scene."""

from __future__ import annotations

from dataclasses import astuple, dataclass

from ringmoe.errors import ShapeError


@dataclass(frozen=True)
class Window:
    """A rectangle of pixels: `height` rows from `row`, `width` columns from `column`.

    Raises:
        ShapeError: The corner is negative or the rectangle is empty.
    """

    row: int
    column: int
    height: int
    width: int

    def __post_init__(self) -> None:
        if self.row < 0 or self.column < 0 or self.height < 1 or self.width < 1:
            raise ShapeError(
                f"{self}: row and column must be 0 or more, height and width 1 or more"
            )

    def __str__(self) -> str:
        return "Window(row={}, column={}, height={}, width={})".format(*astuple(self))

    @property
    def rows(self) -> slice:
        """Its rows, to index an array of the scene with."""
        return slice(self.row, self.row + self.height)

    @property
    def columns(self) -> slice:
        """Its columns, to index an array of the scene with."""
        return slice(self.column, self.column + self.width)

    def check_inside(self, height: int, width: int, where: str) -> None:
        """Raise `ShapeError` unless it lies within `height` rows and `width` columns."""
        if self.rows.stop > height or self.columns.stop > width:
            raise ShapeError(
                f"{where}: {self} reaches outside the scene of {height} rows and {width} columns; "
                "cut it at the edge"
            )
