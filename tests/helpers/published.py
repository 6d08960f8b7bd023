"""The published network, written from the method's page: ResNet-18 by torchvision's names,
prototypes, and its formulas."""

from __future__ import annotations

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor, nn

from expert.comparison import compare_views
from expert.convert.conversion import Facts


class Block(nn.Module):
    def __init__(self, before: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        if stride > 1:
            self.downsample = nn.Sequential(
                nn.Conv2d(before, width, 1, stride, bias=False), nn.BatchNorm2d(width)
            )

    def forward(self, x: Tensor) -> Tensor:
        out = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        return torch.relu(out + (self.downsample(x) if hasattr(self, "downsample") else x))


class Features(nn.Module):
    def __init__(self, channels: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, widths[0], 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        before = widths[0]
        for n, width in enumerate(widths):
            setattr(
                self,
                f"layer{n + 1}",
                nn.Sequential(Block(before, width, 1 + (n > 0)), Block(width, width, 1)),
            )
            before = width

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.max_pool2d(torch.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        for n in range(4):
            x = getattr(self, f"layer{n + 1}")(x)
        return x


class Published(nn.Module):
    """Random weights; batch-norm statistics and prototypes from images."""

    def __init__(
        self,
        images: np.ndarray,
        labels: np.ndarray,
        *,
        channels: int = 1,
        widths: tuple[int, ...] = (64, 128, 256, 512),
        latent: int = 512,
        scale: float = 3.0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        torch.manual_seed(seed)
        count, height, width = images.shape
        self.channels = channels
        self.features = Features(channels, widths)
        ends = nn.Conv2d(widths[-1], latent, 1), nn.Conv2d(latent, latent, 1)
        self.add_on_layers = nn.Sequential(ends[0], nn.ReLU(), ends[1], nn.Sigmoid())
        shape = (count, latent, height // 32, width // 32)
        self.prototype_vectors = nn.Parameter(torch.rand(shape))
        self.ones = nn.Parameter(torch.ones(shape), requires_grad=False)
        self.r = nn.Parameter(torch.tensor([5.0]), requires_grad=False)
        self.emb_loss_s = nn.Parameter(torch.tensor([float(scale)]))
        self.register_buffer("proto_classes", torch.from_numpy(labels).float())
        self.register_buffer(
            "prototype_images", torch.from_numpy(np.repeat(images[..., None], channels, axis=3))
        )
        with torch.no_grad():
            for module in self.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.momentum = None
                    module.weight.uniform_(0.5, 1.5)
                    module.bias.uniform_(-0.3, 0.3)
            self.train()
            self.latents(images)
            self.eval()
            self.prototype_vectors.copy_(self.latents(images))

    def latents(self, images: np.ndarray) -> Tensor:
        """(B, H, W) uint8 to (B, C, h, w)."""
        x = torch.from_numpy(images).float()[:, None].repeat(1, self.channels, 1, 1) / 255
        return self.add_on_layers(self.features(x))

    @torch.no_grad()
    def distances(self, image: np.ndarray, *, converged: bool) -> Tensor:
        """(P,) of one image (H, W) uint8; Sinkhorn to the end in double precision, or as
        published."""
        dtype = torch.float64 if converged else torch.float32
        f = self.latents(image[None])[0].flatten(1).T.to(dtype)
        p = self.prototype_vectors.flatten(2).transpose(1, 2).to(dtype)
        cost = (f[None, :, None] - p[:, None]).pow(2).sum(-1).sqrt()
        u = torch.zeros(cost.shape[:2], dtype=dtype)
        v, mass = torch.zeros_like(u), -np.log(cost.shape[1])
        for _ in range(2000 if converged else 25):
            before = u
            u = mass - torch.logsumexp(-cost / 0.1 + v[:, None, :], 2)
            v = mass - torch.logsumexp(-cost / 0.1 + u[:, :, None], 1)
            if (u - before).abs().max() < (1e-9 if converged else 0.01):
                break
        plan = torch.exp(-cost / 0.1 + u[:, :, None] + v[:, None, :])
        return self.emb_loss_s.to(dtype) * (plan * cost).sum((1, 2))

    @torch.no_grad()
    def predict(self, image: np.ndarray, *, converged: bool = True) -> float:
        """Of one image (H, W) uint8, label units."""
        distance = self.distances(image, converged=converged)
        radius, labels = float(self.r), self.proto_classes.to(distance.dtype)
        weight = torch.exp(-(distance**2) / (2 * (radius / 3) ** 2)) * (distance <= radius)
        if not weight.any():
            return float(labels[distance.argmin()])
        return float((weight * labels).sum() / weight.sum())


def pictures(count: int, shape: tuple[int, int] = (192, 160), seed: int = 0) -> np.ndarray:
    """(count, *shape) uint8 smooth random images, each with a range of its own."""
    noise = np.random.default_rng(seed).normal(size=(count, *shape))
    smooth = np.stack([ndimage.gaussian_filter(one, 4 + n % 5) for n, one in enumerate(noise)])
    low, high = smooth.min((1, 2), keepdims=True), smooth.max((1, 2), keepdims=True)
    return np.rint(255 * (smooth - low) / (high - low)).astype(np.uint8)


def unseen(images: np.ndarray, count: int, seed: int = 1) -> np.ndarray:
    """(count, H, W) uint8 images between two of the given ones, so that distances differ."""
    generator = np.random.default_rng(seed)
    out = []
    for n in range(count):
        one, other = images[generator.choice(len(images), 2, replace=False)].astype(float)
        share = n / max(count - 1, 1)
        out.append((1 - 0.5 * share) * one + 0.5 * share * other)
    return np.rint(np.stack(out)).astype(np.uint8)


YEARS = Facts(label_unit="years")


PLAIN = Facts(label_unit="years", space="image")


LABELS = np.linspace(20, 86, 12)


TOLERANCE = 1e-3 * (86 - 20)


SMALL = {"widths": (8, 12, 16, 24), "latent": 16}


def small(**settings) -> Published:
    """A narrow one of 64 x 96 pixels: quick to read and to run."""
    return Published(pictures(12, (64, 96)), LABELS, **{**SMALL, "scale": 18.0, **settings})


def saved(net: Published, path, **changes):
    torch.save({**net.state_dict(), **changes}, path)
    return path


def lightning(net: Published, path, **besides):
    """As Lightning writes it: the network is one part of the module, and much else stands beside
    its state."""
    state = {f"ppnet.{key}": value for key, value in net.state_dict().items()}
    document = {
        "epoch": 7,
        "state_dict": {**state, "protoloss.corres": torch.zeros(3)},
        "callbacks": {"best": 1.5},
        **besides,
    }
    torch.save(document, path)
    return path


def ours(model, image) -> float:
    return compare_views(model, image[None], np.full_like(image[None], 255)).prediction


def same(model, net, images, *, turned=()):
    found = []
    for image in images:  # one at a time, which the published code cannot
        prediction = ours(model, np.flip(image, turned))
        assert abs(prediction - net.predict(image)) < TOLERANCE
        assert abs(prediction - net.predict(image, converged=False)) < TOLERANCE
        found.append(prediction)
    return np.array(found)
