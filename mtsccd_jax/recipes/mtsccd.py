"""The MtSCCD paper's experiments (section 3.2): one fine-tuned network each, and which rows of its tables it fills.

The paper gives the learning rate, the batch size, the optimiser, ImageNet weights, and whose features go to an SVM. It
leaves the rest open; here, and why:

- 30 epochs, those of the best validation kept, stopped after 8 without a better one: the split is the paper's, the
  number is not, and a network that is fine-tuned gently gains little after twenty.
- momentum 0.9 and weight decay 5e-4 with SGD: what AlexNet, VGG, GoogLeNet and ResNet were published with; with AdamW
  (Swin) 0.05, what Swin was.
- a constant learning rate: the paper names one number.
- 224 px, the size of the published weights, and the normalisation that they were trained with; flips and quarter turns,
  which a nadir view allows.
- features after the activation (AlexNet, VGG; `model.features=linear` for before it) and after the last pooling
  (GoogLeNet, ResNet).
- features and word histograms of unit length before an SVM (`scene.unit_length=false` leaves the histograms summing to
  1), its penalty the best of 0.01, 0.1, 1 and 10 on validation.
- CDC_2's dictionary from at most 200,000 descriptors of the training pairs; its SVMs see the histogram of one scene and
  name its class, one SVM a date, as CDC_1 compares classes (`change.words_svm=pairs` for one SVM on both).
- SSCD: batches of 32 pairs, the optimiser of the network's own row of Table 6, and half a weight on naming both scenes,
  so that it can say from which class to which.
- the threshold of CFSM and SSCD maximises kappa on the validation pairs: overall accuracy prefers to find no change.

Every one of them can be set: `--set optim.momentum=0`.
"""

from mtsccd_jax.recipes.config import Data, Engine, Model, Optim, Recipe, Scene, Similarity
from mtsccd_jax.recipes.experiment import Experiment

_GENTLE = Optim("sgd", learning_rate=8e-5, weight_decay=5e-4, schedule="constant")
_SGD_1E3 = Optim("sgd", learning_rate=1e-3, weight_decay=5e-4, schedule="constant")
_SGD_1E4 = Optim("sgd", learning_rate=1e-4, weight_decay=5e-4, schedule="constant")
_IMAGENET = Data()
# Weights that were trained on images from -1 to 1.
_CENTRED = Data(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
_ADAMW = Optim("adamw", learning_rate=1e-4, weight_decay=0.05, schedule="constant")


def _engine(batch_size: int) -> Engine:
    """Return the engine settings of every network."""
    return Engine(batch_size=batch_size, epochs=30, patience=8, keep="best")


def _tuned(
    network: str, weights: str, optim: Optim, batch_size: int, classifier: Scene, data: Data = _IMAGENET
) -> Recipe:
    """Return the recipe of one network of Table 6."""
    return Recipe(
        name=f"mtsccd_{network}",
        summary=f"{network} with ImageNet weights, fine-tuned on MtSCCD_LUSC as in the paper",
        data=data,
        model=Model(network, init=weights),
        optim=optim,
        engine=_engine(batch_size),
        scene=classifier,
    )


def _similarity(network: str, weights: str, optim: Optim) -> Recipe:
    """Return the SSCD recipe of one network, one of Table 7 or one that the paper does not try."""
    return Recipe(
        name=f"mtsccd_sscd_{network}",
        summary=f"similarity learning (SSCD) with {network} on the pairs of MtSCCD_LUCD",
        model=Model(network, init=weights, task="similarity"),
        optim=optim,
        engine=_engine(32),
        similarity=Similarity(scene_weight=0.5),
    )


# Weights without a hub repository are torchvision's files, found by name in the folder of `--init-dir`.
_HEAD, _SVM = Scene("head"), Scene("svm")
TABLE_6 = (
    _tuned("alexnet", "alexnet-owt-7be5be79.pth", _GENTLE, 50, _SVM),
    _tuned("vgg16", "hf:timm/vgg16.tv_in1k", _GENTLE, 50, _SVM),
    _tuned("vgg19", "hf:timm/vgg19.tv_in1k", _GENTLE, 50, _SVM),
    _tuned("googlenet", "googlenet-1378be20.pth", _GENTLE, 50, _SVM, _CENTRED),
    _tuned("resnet18", "hf:timm/resnet18.tv_in1k", _GENTLE, 50, _SVM),
    _tuned("resnet50", "hf:timm/resnet50.tv_in1k", _GENTLE, 50, _SVM),
    _tuned("resnet101", "hf:timm/resnet101.tv_in1k", _GENTLE, 50, _SVM),
    _tuned("densenet201", "hf:timm/densenet201.tv_in1k", _SGD_1E3, 50, _HEAD),
    _tuned("efficientnet_b0", "hf:timm/efficientnet_b0.ra_in1k", _SGD_1E3, 128, _HEAD),
    _tuned("seresnet50", "hf:timm/seresnet50.ra2_in1k", _SGD_1E4, 32, _HEAD),
    _tuned("vit_base_patch16", "hf:timm/vit_base_patch16_224.augreg_in21k", _SGD_1E4, 32, _HEAD, _CENTRED),
    _tuned("swin_tiny", "hf:timm/swin_tiny_patch4_window7_224.ms_in1k", _ADAMW, 32, _HEAD),
)

# The paper's SSCD is on VGG16; the other three are ours.
SSCD = (
    _similarity("vgg16", "hf:timm/vgg16.tv_in1k", _GENTLE),
    _similarity("resnet50", "hf:timm/resnet50.tv_in1k", _GENTLE),
    _similarity("densenet201", "hf:timm/densenet201.tv_in1k", _SGD_1E3),
    _similarity("swin_tiny", "hf:timm/swin_tiny_patch4_window7_224.ms_in1k", _ADAMW),
)

RECIPES = (*TABLE_6, *SSCD)

# The rows of Table 7, by network.
_CLASSIFIED = ("cdc_1", "cfsm")
_WORDS = ("cdc_1", "cdc_2", "cfsm")
TABLE_7 = {
    "alexnet": _WORDS,
    "vgg19": _WORDS,
    "googlenet": _WORDS,
    "resnet101": _WORDS,
    "densenet201": _CLASSIFIED,
    "efficientnet_b0": _CLASSIFIED,
    "seresnet50": _CLASSIFIED,
    "vit_base_patch16": _CLASSIFIED,
    "swin_tiny": _CLASSIFIED,
}


def _experiments(scenes: bool, pairs: bool) -> tuple[Experiment, ...]:
    """Return the experiments that fill rows of Table 6, of Table 7, or of both."""
    of_pairs = TABLE_7 if pairs else {}
    tuned = (
        Experiment(recipe, (("scene",) if scenes else ()) + of_pairs.get(recipe.model.name, ())) for recipe in TABLE_6
    )
    learned = (Experiment(recipe, ("sscd",)) for recipe in SSCD if pairs)
    return tuple(experiment for experiment in (*tuned, *learned) if experiment.protocols)


EXPERIMENTS = {
    "table6": _experiments(scenes=True, pairs=False),
    "table7": _experiments(scenes=False, pairs=True),
    "all": _experiments(scenes=True, pairs=True),
}
