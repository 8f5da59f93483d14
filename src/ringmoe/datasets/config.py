"""`DataConfig`: where labelled data lie and what they are, as a section of a configuration."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ringmoe.datasets.class_codes import Codes
from ringmoe.datasets.labelled import LabelKind
from ringmoe.errors import ConfigError
from ringmoe.sensors import MODALITIES, Calibration, Sensor, get_sensor

DATES = ("before", "after")
PARTS = ("train", "validation", "test")


@dataclass(frozen=True)
class ImageFormat:
    """How the files of one image are read.

    Attributes:
        sensor: What the values are.
        bands: What each band of a file is, in file order; None where the file or the sensor says.
        encoding: How numbers become units; None for the sensor's first.
        nodata: The number that means "no data"; None where the files say.
    """

    sensor: Sensor
    bands: tuple[str, ...] | None
    encoding: str | None
    nodata: float | None = None

    @property
    def calibration(self) -> Calibration:
        """From the file's numbers to the sensor's unit."""
        return self.sensor.encoding(self.encoding)


@dataclass(kw_only=True)
class DataConfig:
    """Labelled data: where they are, what they are, and how they are split.

    Attributes:
        path: A folder, or a CSV file that lists images and labels.
        kind: What a label is: "class" of an image, "mask" of classes, "height" in metres, "boxes"
            or "rotated-boxes" of objects; none: what the task needs.
        labels: File or folder of the labels of objects, absolute or below `path`, where they are
            not found by themselves; "tracks" for the videos of simulated scenes.
        sensor: What the images are, a name of the sensor catalogue.
        bands: What each band of a file is, in file order, "-" for one to skip; none: the file's
            own names, or the sensor's order.
        encoding: How a file's numbers become units; none: the sensor's first encoding.
        nodata: The number in images that means "no data", in place of what the files declare.
        sensors: In place of `sensor`: image name to sensor, for images of several modalities
            (`{sar_amplitude: sentinel1-grd, multispectral: sentinel2-l1c}`) or dates (`before`,
            `after`).
        image_bands: With `sensors`: image name to its bands.
        image_encodings: With `sensors`: image name to its encoding.
        classes: Names in the order of their codes 0, 1, ...; or name to code in the mask, a number
            or a colour "#rrggbb", or to a list of codes that are one class. None: the names of
            class folders or of a CSV's labels.
        ignore: Codes of a mask that are no class (colours "#rrggbb" too), numbers that mean "no
            height", or labels to leave out. Any other code is an error.
        first_pixel: The number of the first pixel in `bndbox` of VOC files: 1, or 0 as in SSDD.
        smallest: Objects whose long edge has fewer pixels are ignored, neither learnt nor scored.
        background: Share of the training examples without an object to be found that take part;
            the others are in no part of the split.
        tile_size: Cut images into tiles of at most so many pixels a side; 0 takes them whole.
        split: A `split.csv` with the columns name and part. None: what the data say (a column
            `split`, or folders train, val, test), else drawn: at random, for each class apart; in
            spatial blocks where several examples are cut from one image.
        validation: Share of the examples drawn for validation where nothing says which.
        test: Share drawn for the test where nothing says which.
        seed: Of what is drawn.
    """

    path: Path
    kind: LabelKind | None = None
    labels: str = ""
    sensor: str = ""
    bands: list[str] = field(default_factory=list)
    encoding: str = ""
    nodata: float | None = None
    sensors: dict[str, str] = field(default_factory=dict)
    image_bands: dict[str, list[str]] = field(default_factory=dict)
    image_encodings: dict[str, str] = field(default_factory=dict)
    classes: list[str] | dict[str, Codes] = field(default_factory=list)
    ignore: list[int | str] = field(default_factory=list)
    first_pixel: int = 1
    smallest: float = 0.0
    background: float = 1.0
    tile_size: int = 0
    split: str | Path = ""
    validation: float = 0.2
    test: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        self.path = Path(self.path)

    def check(self) -> None:
        """Refuse what cannot be meant, before any file is opened.

        Raises:
            ConfigError: Naming the key, what was expected and what was found.
            UnknownSensorError: The catalogue has no such sensor.
        """
        if not self.sensors and not self.sensor:
            raise ConfigError(
                "sensor: expected what the images are, e.g. rgb-dn8 for 8-bit pictures or "
                "sentinel2-l2a, got nothing"
            )
        if self.sensors and (self.sensor or self.bands or self.encoding):
            raise ConfigError(
                "sensors: expected either one sensor for all images (sensor, bands, encoding) or "
                "one for each (sensors, image_bands, image_encodings), got both"
            )
        for key, value in (("validation", self.validation), ("test", self.test)):
            if not 0 <= value < 1:
                raise ConfigError(f"{key}: expected a share, at least 0 and under 1, got {value!r}")
        if self.validation + self.test >= 1:
            raise ConfigError(
                f"validation, test: expected shares that leave some to train on, got "
                f"{self.validation!r} and {self.test!r}"
            )
        if self.first_pixel not in (0, 1):
            raise ConfigError(f"first_pixel: expected 0 or 1, got {self.first_pixel!r}")
        if self.smallest < 0:
            raise ConfigError(f"smallest: expected 0 or more pixels, got {self.smallest!r}")
        if not 0 <= self.background <= 1:
            raise ConfigError(f"background: expected a share, 0 to 1, got {self.background!r}")
        if self.tile_size < 0:
            raise ConfigError(f"tile_size: expected 0 or more pixels, got {self.tile_size!r}")
        if not isinstance(self.classes, Mapping) and len({*self.classes}) < len(self.classes):
            raise ConfigError(f"classes: expected each name once, got {list(self.classes)}")
        self.formats(self.sensors or ("image",))

    def formats(self, names: Iterable[str]) -> dict[str, ImageFormat]:
        """How each image is read.

        Args:
            names: Of the images; `sensors`, where given, must name the same.

        Raises:
            ConfigError: An image has no sensor, or its name is neither a date nor its modality.
            UnknownSensorError: The catalogue has no such sensor.
        """
        names = tuple(names)
        if self.sensors:
            for key, given in (
                ("image_bands", self.image_bands),
                ("image_encodings", self.image_encodings),
            ):
                _check_names(key, given, self.sensors)
            _check_names("sensors", self.sensors, names)
        return {name: self._format(name) for name in names}

    def _format(self, name: str) -> ImageFormat:
        if not self.sensors:
            sensor, bands, encoding = get_sensor(self.sensor), self.bands, self.encoding
        elif name in self.sensors:
            sensor = get_sensor(self.sensors[name])
            bands = self.image_bands.get(name, [])
            encoding = self.image_encodings.get(name, "")
        else:
            raise ConfigError(f"sensors: expected one for image {name!r}, got {self.sensors}")
        if name in MODALITIES and sensor.modality != name:
            raise ConfigError(
                f"sensors: {sensor.name} is of modality {sensor.modality}, expected a sensor of "
                f"{name}"
            )
        if name not in ("image", *DATES, *MODALITIES):
            raise ConfigError(
                f"sensors: no image can be called {name!r}: expected image, before and after, or "
                f"modalities ({', '.join(MODALITIES)})"
            )
        found = ImageFormat(sensor, tuple(bands) or None, encoding or None, self.nodata)
        _ = found.calibration  # an unknown encoding is told before any file is read
        return found


def _check_names(key: str, given: Mapping[str, object], names: Iterable[str]) -> None:
    unknown = sorted(set(given) - set(names))
    if unknown:
        raise ConfigError(
            f"{key}: no image is called {', '.join(unknown)}: expected {', '.join(names)}"
        )
