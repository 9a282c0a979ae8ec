"""The same training in PyTorch and here: ResNet-18 on real scenes, same weights, same batches, 50 steps.

    python benchmarks/training_parity.py EuroSAT/2750 [--steps 50] [--batch 64] [--image-size 64] [--out FILE]
                                         [--figure FILE.svg]

Both sides start from torchvision's random weights and train with SGD, momentum, weight decay and the same cosine; ours
is the engine's own step, so that normalisation, loss, optimiser and running statistics are compared with it.
"final_difference" is that of the two losses averaged over the last ten steps. Training is chaotic: rounding moves some
activation across the kink of a rectifier, and from there the runs part. So the distance of PyTorch in float64 from
PyTorch in float32 ("control") is measured, too.
"""

import copy
import sys
from pathlib import Path

import numpy as np
from record import chosen, make_parser, publish

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "helpers"))


def main() -> None:
    parser = make_parser(__doc__, rounds=None, steps=50, batch=64, image_size=64, seed=0)
    parser.add_argument("folder", type=Path, help="scenes, one folder a class")
    parser.add_argument("--learning-rate", type=float, default=3e-4)
    parser.add_argument("--figure", type=Path, help="draw both loss curves there")
    arguments = parser.parse_args()

    from mtsccd_jax.data.order import batch_indices
    from mtsccd_jax.data.sources import open_source
    from mtsccd_jax.recipes.config import Data, Engine, Model, Optim, Recipe

    data = Data(folder=str(arguments.folder), image_size=arguments.image_size, flip=False, turn=False)
    recipe = Recipe(
        name="parity",
        summary="the same in PyTorch",
        data=data,
        model=Model("resnet18"),
        optim=Optim("sgd", learning_rate=arguments.learning_rate, weight_decay=5e-4, warmup_epochs=0),
        engine=Engine(batch_size=arguments.batch, epochs=1),
        seed=arguments.seed,
    )
    source = open_source(data, "train")
    epochs = [batch_indices(arguments.seed, epoch, len(source), arguments.batch) for epoch in range(arguments.steps)]
    order = np.concatenate(epochs)[: arguments.steps]
    batches = [source.read(rows) for rows in order]

    reference, weights = torch_network(len(source.class_names), arguments.seed)
    ours = train_here(recipe, source.class_names, weights, batches, order)
    control = train_in_torch(recipe, copy.deepcopy(reference).double(), batches)
    theirs = train_in_torch(recipe, reference, batches)

    last = slice(-10, None)
    result = {
        "benchmark": "training_parity",
        "scenes": len(source),
        **chosen(arguments, "steps", "batch", "image_size"),
        "first_difference": relative(ours[0], theirs[0]),
        "final_difference": relative(np.mean(ours[last]), np.mean(theirs[last])),
        "largest_difference": max(relative(a, b) for a, b in zip(ours, theirs, strict=True)),
        "control_final_difference": relative(np.mean(control[last]), np.mean(theirs[last])),
        "control_largest_difference": max(relative(a, b) for a, b in zip(control, theirs, strict=True)),
        "loss": {
            side: [round(value, 6) for value in losses]
            for side, losses in (("jax", ours), ("torch", theirs), ("torch_float64", control))
        },
    }
    if arguments.figure:
        draw(arguments.figure, ours, theirs, control)
    publish(result, arguments.out)


def relative(a: float, b: float) -> float:
    """Return the relative difference of a from b."""
    return float(abs(a - b) / abs(b))


def torch_network(num_classes: int, seed: int):
    """Return torchvision's ResNet-18 with random weights, and those weights."""
    import torch
    import torch_reference

    torch.manual_seed(seed)
    reference = torch_reference.import_torchvision().models.resnet18(num_classes=num_classes)
    return reference, torch_reference.arrays(reference)


def train_here(recipe, class_names, weights, batches, order) -> list[float]:
    """Return the losses of the engine's own step."""
    from mtsccd_jax.engine.parallel import make_parallel
    from mtsccd_jax.engine.state import create, fit_weights
    from mtsccd_jax.engine.steps import make_train_step
    from mtsccd_jax.models.weights.files import WeightFile
    from mtsccd_jax.tasks.scenes.train import cross_entropy

    parallel = make_parallel("jit")
    network = create(recipe, class_names, len(batches), parallel)
    fitted = fit_weights(network, recipe.model.name, WeightFile("torch", weights, sha256=""))
    assert not fitted.notes
    state = network.initialized(network.initial(recipe.seed), fitted)
    step = parallel.compile_update(make_train_step(network, cross_entropy(0.0), recipe.data, parallel.axis_name))
    losses = []
    for batch, rows in zip(batches, order, strict=True):
        placed = parallel.place({"image": batch["image"], "label": batch["label"], "row": rows.astype(np.int32)})
        state, metrics = step(state, placed)
        losses.append(float(metrics["loss"]))
    return losses


def train_in_torch(recipe, reference, batches) -> list[float]:
    """Return the losses of PyTorch's step."""
    import torch

    optim = recipe.optim
    reference.train()
    optimizer = torch.optim.SGD(
        reference.parameters(), optim.learning_rate, optim.momentum, weight_decay=optim.weight_decay
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=len(batches))
    kind = next(reference.parameters()).dtype
    mean, std = (torch.tensor(values, dtype=kind).view(1, 3, 1, 1) for values in (recipe.data.mean, recipe.data.std))
    losses = []
    for batch in batches:
        image = torch.from_numpy(batch["image"].transpose(0, 3, 1, 2).copy()).to(kind) / 255
        logits = reference((image - mean) / std)
        loss = torch.nn.functional.cross_entropy(logits, torch.from_numpy(batch["label"].astype(np.int64)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    return losses


def draw(path: Path, ours: list[float], theirs: list[float], control: list[float]) -> None:
    """Draw both curves in one figure, and their relative difference below."""
    import matplotlib as mpl

    mpl.use("svg")
    import matplotlib.pyplot as plt

    plt.rcParams |= {"svg.hashsalt": "parity", "svg.fonttype": "none"}
    steps = np.arange(1, len(ours) + 1)
    figure, (top, bottom) = plt.subplots(2, sharex=True, figsize=(7, 5), height_ratios=(3, 1), layout="constrained")
    top.plot(steps, theirs, color="#d95f02", linewidth=4, alpha=0.5, label="PyTorch")
    top.plot(steps, ours, color="#1b6ca8", linewidth=1.4, label="mtsccd-jax")
    top.set_ylabel("training loss")
    top.legend(frameon=False)
    for losses, color, name in ((control, "#999999", "PyTorch float64"), (ours, "#1b6ca8", "mtsccd-jax")):
        apart = [max(relative(a, b), 1e-9) for a, b in zip(losses, theirs, strict=True)]
        bottom.semilogy(steps, apart, color=color, linewidth=1.2, label=name)
    bottom.axhline(0.01, color="#999999", linestyle=":", linewidth=1)
    bottom.set_ylabel("difference from\nPyTorch float32")
    bottom.set_xlabel("step")
    for axis in (top, bottom):
        axis.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


if __name__ == "__main__":
    main()
