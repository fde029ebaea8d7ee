"""The network format: a model, how it is trained and how it is evaluated, nested by owner."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import Field, SerializeAsAny, ValidationInfo, model_validator

from mtneuro_ray.config.base import Name, Seed, Settings, flattened
from mtneuro_ray.config.flat import is_flat, nested
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

    def paths(self) -> dict[str, Any]:
        """Every key by its path, such as `optimizer.learning_rate`, with its value."""
        return flattened(self.model_dump(mode="json"))

    def path_of(self, key: str, where: str) -> str:
        """The path of a key that is named by its path, or by its last part where that is unique.

        Raises:
            InputError: there is no such key, or there are several.
        """
        paths = self.paths()
        if key in paths:
            return key
        found = [path for path in paths if path.rpartition(".")[2] == key]
        if len(found) == 1:
            return found[0]
        if found:
            raise InputError(f"{where}: {key}: names several keys; accepted: {', '.join(found)}")
        if key in NAMED:
            return f"{key}.name"
        from difflib import get_close_matches

        short = [self.short(path) for path in paths]
        near = get_close_matches(key, short, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise InputError(
            f"{where}: {key}: unknown key of {self.model.name} with {self.method.name}{hint}; accepted: "
            f"{', '.join(sorted(short))}"
        )

    def short(self, path: str) -> str:
        """The last part of a path where no other key ends in it, else the whole path."""
        last = path.rpartition(".")[2]
        return last if sum(other.rpartition(".")[2] == last for other in self.paths()) == 1 else path

    def replace(self, where: str, /, **changes: Any) -> Self:
        """A checked copy with some keys changed, each named by its path or, where that is unique, its last part.

        A key of the new model or method may stand beside the change of its name.
        """
        values = self.model_dump(mode="json")
        names = {key: value for key, value in changes.items() if key in NAMED or key.removesuffix(".name") in NAMED}
        network = self
        if names:
            for key, value in names.items():
                owner = key.removesuffix(".name")
                if owner in TYPED and value != values[owner]["name"]:
                    values[owner] = {"name": value}
                else:
                    values[owner]["name"] = value
            network = self.load(values, where)
        tables: dict[str, dict[str, Any]] = {}
        top: dict[str, Any] = {}
        for key, value in changes.items():
            if key not in names:
                owner, dot, last = network.path_of(key, where).rpartition(".")
                if dot:
                    tables.setdefault(owner, {})[last] = value
                else:
                    top[last] = value
        # Only the tables that change are read again: a search asks for thousands of copies.
        changed: dict[str, Any] = {}
        for owner, keys in tables.items():
            own: Settings = getattr(network, owner)
            changed[owner] = own.load({**own.model_dump(mode="json"), **keys}, where, f"{owner}.")
        if top:
            scalars = {"name": network.name, "classes": network.classes, "seed": network.seed, **top}
            checked = _Top.load(scalars, where)
            changed |= {key: getattr(checked, key) for key in top}
        copy = network.model_copy(update=changed)
        copy.check(where)
        return copy

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
            models = [other for other in registry("models").names() if self._fits(other)]
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

    def _fits(self, model: str) -> bool:
        return set(self.method_declaration.needs) <= set(registry("models").find(model).gives)

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
