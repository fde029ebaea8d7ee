"""The network format: a model, how it is trained and how it is evaluated, nested by owner."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Annotated, Any, Self

from pydantic import Field, SerializeAsAny, ValidationInfo, model_validator

from mtneuro_ray.config.base import Name, Seed, Settings
from mtneuro_ray.config.flat import is_flat, nested
from mtneuro_ray.config.keys import Keys, placed, value_at
from mtneuro_ray.config.owners import (
    ComputeSettings,
    DataSettings,
    EvaluationSettings,
    LossSettings,
    MethodSettings,
    ModelSettings,
    OptimizerSettings,
    Training,
)
from mtneuro_ray.errors import InputError
from mtneuro_ray.registry import registry

# Tables that are typed by their `name`: owner -> kind of declaration.
TYPED = {"model": "models", "method": "methods"}
# Tables that may be written as a string, their `name`.
NAMED = (*TYPED, "loss", "optimizer")


class NetworkSettings(Settings):
    """One model with its training and evaluation settings."""

    name: Name = ""
    """Name in tables; the file's by default."""
    classes: Annotated[int, Field(ge=2, le=255)]
    """Classes of the task."""
    seed: Seed = 0
    """Seed of weights, order, augmentation and views."""
    model: SerializeAsAny[ModelSettings]
    method: SerializeAsAny[MethodSettings]
    loss: LossSettings = LossSettings()
    optimizer: OptimizerSettings
    data: DataSettings
    evaluation: EvaluationSettings = EvaluationSettings()
    compute: ComputeSettings = ComputeSettings()

    @model_validator(mode="before")
    @classmethod
    def _typed_tables(cls, values: Any, info: ValidationInfo) -> Any:
        """Read model and method as the settings types that their declarations name."""
        if not isinstance(values, Mapping):
            return values
        where = str((info.context or {}).get("where", "network"))
        values = nested(values, where) if is_flat(values) else {"method": "supervised", **values}
        for owner in NAMED:
            if isinstance(values.get(owner), str):
                values[owner] = {"name": values[owner]}
        for owner, field in cls.model_fields.items():
            table = values.get(owner)
            settings: Any = field.annotation
            if not isinstance(table, Mapping) or not issubclass(settings, Settings):
                continue
            if owner in TYPED and isinstance(table.get("name"), str):
                settings = registry(TYPED[owner]).find(table["name"], f"{where}: {owner}.name").settings
            values[owner] = settings.load(table, where, f"{owner}.")
        return values

    @property
    def table_name(self) -> str:
        """Name in tables, which the 3-class and the 4-class form of a model share."""
        return (self.name or self.model.name).removesuffix(f"_{self.classes}class")

    @property
    def declaration(self) -> Any:
        """The model's declaration, a `models.base.ModelDeclaration`."""
        return registry("models").find(self.model.name)

    @property
    def method_declaration(self) -> Any:
        """The method's declaration, a `methods.base.MethodDeclaration`."""
        return registry("methods").find(self.method.name)

    @property
    def is_frozen(self) -> bool:
        """Whether the encoder is made without labels and only a linear probe on it learns from them."""
        return bool(self.method_declaration.is_frozen)

    @property
    def training(self) -> Training:
        """Learning rate, batch size and epochs of what trains by steps."""
        return self.method.training(self)

    @property
    def starts_pretrained(self) -> bool:
        """Whether the model's encoder starts from weights made elsewhere."""
        return self.declaration.is_pretrained and getattr(self.model, "encoder_weights", None) is not None

    @property
    def encoder_file(self) -> str | None:
        """Path of the file that holds the encoder's initial weights, where the settings name one."""
        return getattr(self.model, "encoder_file", None)

    @property
    def keys(self) -> Keys:
        """Its keys, with those of its own model and method."""
        return _keys(type(self.model), type(self.method), f"{self.model.name} with {self.method.name}")

    def paths(self) -> dict[str, Any]:
        """Every key by its path, such as `optimizer.learning_rate`, with its value."""
        values = self.model_dump(mode="json")
        return {path: value_at(values, path) for path in self.keys.fields}

    def path_of(self, key: str, where: str) -> str:
        """See `Keys.path_of`."""
        return self.keys.path_of(key, where)

    def short(self, path: str) -> str:
        """See `Keys.short`."""
        return self.keys.short(path)

    def replace(self, where: str, /, **changes: Any) -> Self:
        """A checked copy with some keys changed, each named by its path or, where that is unique, its last part.

        A key of the new model or method may stand beside the change of its name; values of the old one stay where both
        have the same keys.

        Raises:
            InputError: a key is unknown or stands twice, or a value is not accepted.
        """
        types: dict[str, type[Settings]] = {owner: type(getattr(self, owner)) for owner in TYPED}
        names = [self.model.name, self.method.name]
        for index, (owner, kind) in enumerate(TYPED.items()):
            name = changes.get(owner, changes.get(f"{owner}.name"))
            if isinstance(name, str) and name != names[index]:
                types[owner] = registry(kind).find(name, f"{where}: {owner}.name").settings
                names[index] = name
        keys = _keys(types["model"], types["method"], " with ".join(names))
        tables: dict[str, dict[str, Any]] = {}
        top: dict[str, Any] = {}
        seen: dict[str, str] = {}
        for key, value in changes.items():
            path = keys.path_of(key, where)
            if path in seen:
                raise InputError(f"{where}: {key}: stands twice, as {seen[path]} too; accepted: once")
            seen[path] = key
            owner, _, rest = path.partition(".")
            if rest:
                if owner not in tables:
                    tables[owner] = self._kept(owner, types)
                placed(tables[owner], rest, value)
            else:
                top[path] = value
        # Only the tables that change are read again: a search asks for thousands of copies.
        changed: dict[str, Any] = {
            owner: types.get(owner, type(getattr(self, owner))).load(table, where, f"{owner}.")
            for owner, table in tables.items()
        }
        if top:
            scalars = {"name": self.name, "classes": self.classes, "seed": self.seed, **top}
            checked = _Top.load(scalars, where)
            changed |= {key: getattr(checked, key) for key in top}
        copy = self.model_copy(update=changed)
        copy.check(where)
        return copy

    def _kept(self, owner: str, types: Mapping[str, type[Settings]]) -> dict[str, Any]:
        """Values of a table that changes: all of them, or none where its model or method has other keys."""
        own: Settings = getattr(self, owner)
        return own.model_dump(mode="json") if types.get(owner, type(own)) is type(own) else {}

    def check(self, where: str) -> None:
        """Check what concerns several owners at once."""
        for owner in (self.model, self.method, self.optimizer, self.evaluation):
            owner.check(where)
        self._check_model(where)
        self._check_loss(where)
        if self.is_frozen:
            for path in ("data.train_crops", "evaluation.keep", "data.augmentations"):
                self._check_default(where, path, f"has no meaning for a frozen encoder ({self.method.name})")
            for key in ("dropout", "latent_dim"):
                if key in self.model.changed():
                    raise InputError(
                        f"{where}: model.{key}: has no meaning for a frozen encoder ({self.method.name}); accepted: "
                        "leave it out"
                    )
        if "image" not in self.declaration.predicts:
            self._check_default(where, "data.train_crops", "is for classifiers")
            if getattr(self.method, "mixup_probability", 0.0):
                raise InputError(f"{where}: method.mixup_probability: is for classifiers; accepted: leave it out")

    def _check_default(self, where: str, path: str, why: str) -> None:
        owner, _, key = path.partition(".")
        if key in getattr(self, owner).changed():
            raise InputError(f"{where}: {path}: {why}; accepted: leave it out")

    def _check_model(self, where: str) -> None:
        declaration, name = self.declaration, self.model.name
        if self.model.dim not in declaration.dims:
            accepted = ", ".join(map(str, declaration.dims))
            raise InputError(f"{where}: model.dim: {name} does not come in {self.model.dim}; accepted: {accepted}")
        lacking = [need for need in self.method_declaration.needs if need not in declaration.gives]
        if lacking:
            models = [name for name, other in registry("models").all().items() if self._fits(other)]
            raise InputError(
                f"{where}: method.name: {self.method.name!r} is not for {name}, which has no {', '.join(lacking)}; "
                f"accepted: a model that has, such as {', '.join(models)}"
            )
        if self.data.batch_size < declaration.smallest_batch:
            raise InputError(
                f"{where}: data.batch_size: {name} normalises over the images of a batch and can't be trained on "
                f"{self.data.batch_size}; accepted: {declaration.smallest_batch} or more"
            )
        if self.data.input_norm == "image" and not declaration.takes_negative:
            raise InputError(
                f"{where}: data.input_norm: 'image' gives negative numbers, which {name} can't take; accepted: 'unit'"
            )

    def _fits(self, model: Any) -> bool:
        return set(self.method_declaration.needs) <= set(model.gives)

    def _check_loss(self, where: str) -> None:
        parts = [registry("losses").find(part, f"{where}: loss.name") for part in self.loss.name.split("+")]
        if self.loss.class_weights != "none" and not any(part.takes_weights for part in parts):
            raise InputError(
                f"{where}: loss.class_weights: the loss {self.loss.name} takes none; accepted: 'none', or a loss with "
                "cross_entropy in it"
            )
        for metric in self.evaluation.metrics:
            registry("metrics").find(metric, f"{where}: evaluation.metrics")


class _Top(Settings):
    """Keys of a network that belong to no owner."""

    name: Name
    classes: Annotated[int, Field(ge=2, le=255)]
    seed: Seed


@lru_cache(maxsize=64)
def _keys(model: type[Settings], method: type[Settings], title: str) -> Keys:
    return Keys(NetworkSettings, {"model": model, "method": method}, NAMED, title)
