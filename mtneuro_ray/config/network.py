"""The network format: a model, how it is trained and how it is evaluated, nested by owner."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache, reduce
from operator import getitem
from typing import Annotated, Any, Self

from pydantic import Field, SerializeAsAny, ValidationInfo, model_validator

from mtneuro_ray.config.base import Keys, Name, Seed, Settings, fields_of, placed
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
from mtneuro_ray.config.upstream import NAMED, TYPED, is_flat, nested
from mtneuro_ray.errors import InputError
from mtneuro_ray.registry import registry

# Keys by the names that they had.
_RENAMED = {"input_norm": "data.normalization", "data.input_norm": "data.normalization"}


class NetworkSettings(Settings):
    """One model with its training and evaluation settings."""

    name: Name = ""
    """Name in tables; the file's by default."""
    classes: Annotated[int, Field(ge=2, le=255)]
    """Number of classes of the task."""
    seed: Seed = 0
    """Seed of weights, sample order, augmentation and views."""
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
        """Name in tables: one for all numbers of classes of a model."""
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
        """Whether the encoder learns without labels, and only a linear probe on it from labels."""
        return bool(self.method_declaration.is_frozen)

    @property
    def training(self) -> Training:
        """Learning rate, batch size and epochs of the training by steps."""
        return self.method.training(self)

    @property
    def starts_pretrained(self) -> bool:
        """Whether the encoder starts from pretrained weights."""
        return self.declaration.is_pretrained and getattr(self.model, "encoder_weights", None) is not None

    @property
    def encoder_file(self) -> str | None:
        """Path of the file of the encoder's initial weights, where the settings name one."""
        return getattr(self.model, "encoder_file", None)

    @property
    def keys(self) -> Keys:
        """The keys, including those of the settings types of its model and method."""
        return _keys(type(self.model), type(self.method), f"{self.model.name} with {self.method.name}")

    def paths(self) -> dict[str, Any]:
        """Value of every key, by path such as `optimizer.learning_rate`."""
        values = self.model_dump(mode="json")
        return {path: reduce(getitem, path.split("."), values) for path in self.keys.fields}

    def replace(self, where: str, /, **changes: Any) -> Self:
        """A checked copy with some keys changed, each named by its path or, where that is unique, its last part.

        A new model or method may come with keys of its own; old values stay where both have the same settings type.

        Raises:
            InputError: a key is unknown or stands twice, or a value is not accepted.
        """
        values = self.model_dump(mode="json")
        types: dict[str, type[Settings]] = {}
        names = []
        for owner, kind in TYPED.items():
            types[owner] = type(getattr(self, owner))
            name = changes.get(owner, changes.get(f"{owner}.name"))
            if isinstance(name, str) and name != values[owner]["name"]:
                new = registry(kind).find(name, f"{where}: {owner}.name").settings
                if new is not types[owner]:
                    types[owner], values[owner] = new, {}
            names.append(name if isinstance(name, str) else values[owner]["name"])
        keys = _keys(types["model"], types["method"], " with ".join(names))
        seen: dict[str, str] = {}
        for key, value in changes.items():
            path = keys.path_of(key, where)
            if path in seen:
                raise InputError(f"{where}: {key}: stands twice, as {seen[path]} too; accepted: once")
            seen[path] = key
            placed(values, path, value)
        return self.load(values, where)

    def check(self, where: str) -> None:
        """Check rules that span several tables; each table has checked its own."""
        self._check_model(where)
        self._check_loss(where)
        if self.is_frozen:
            paths = ("data.train_crops", "evaluation.keep", "data.augmentations", "model.dropout", "model.latent_dim")
            self._refuse_changes(where, paths, f"has no meaning for a frozen encoder ({self.method.name})")
        if "image" not in self.declaration.predicts:
            self._refuse_changes(where, ("data.train_crops", "method.mixup_probability"), "is for classifiers")

    def _refuse_changes(self, where: str, paths: tuple[str, ...], why: str) -> None:
        for path in paths:
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
            needs = set(self.method_declaration.needs)
            models = [name for name, other in registry("models").all().items() if needs <= set(other.gives)]
            raise InputError(
                f"{where}: method.name: {self.method.name!r} is not for {name}, which has no {', '.join(lacking)}; "
                f"accepted: a model that has, such as {', '.join(models)}"
            )
        if self.data.batch_size < declaration.smallest_batch:
            raise InputError(
                f"{where}: data.batch_size: {name} normalises over the images of a batch and can't be trained on "
                f"{self.data.batch_size}; accepted: {declaration.smallest_batch} or more"
            )
        if self.data.normalization in ("image", "zscore") and not declaration.takes_negative:
            raise InputError(
                f"{where}: data.normalization: {self.data.normalization!r} gives negative numbers, which {name} can't "
                "take; accepted: 'unit', 'window', 'percentile'"
            )

    def _check_loss(self, where: str) -> None:
        parts = [registry("losses").find(part, f"{where}: loss.name") for part in self.loss.name.split("+")]
        if self.loss.class_weights != "none" and not any(part.takes_weights for part in parts):
            raise InputError(
                f"{where}: loss.class_weights: the loss {self.loss.name} takes none; accepted: 'none', or a loss with "
                "cross_entropy in it"
            )
        for metric in self.evaluation.metrics:
            registry("metrics").find(metric, f"{where}: evaluation.metrics")


@lru_cache(maxsize=64)
def _keys(model: type[Settings], method: type[Settings], title: str) -> Keys:
    return Keys(fields_of(NetworkSettings, model=model, method=method), NAMED, title, _RENAMED, ("data.normalization",))
