"""The probe grows with the work and leaves no gradients."""

import pytest
import torch

from autoseg.devices.step_time import seconds_per_step


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_more_work_takes_longer(precision: str) -> None:
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 16, 3), torch.nn.Conv2d(16, 16, 3))

    def measure(edge: int) -> float:
        return seconds_per_step(
            network,
            patch_size_voxels=(edge, edge),
            batch_size=1,
            channels=1,
            device=torch.device("cpu"),
            precision=precision,
        )

    assert 0 < measure(8) < measure(256)
    assert all(parameter.grad is None for parameter in network.parameters())


def test_every_level_takes_part() -> None:
    class Levels(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fine, self.coarse = torch.nn.Conv2d(1, 2, 1), torch.nn.Conv2d(1, 2, 1, stride=2)
            self.reached: list[str] = []
            self.coarse.weight.register_hook(lambda _: self.reached.append("coarse"))

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
            return self.fine(x), self.coarse(x)

    network = Levels()
    seconds_per_step(
        network,
        patch_size_voxels=(8, 8),
        batch_size=1,
        channels=1,
        device=torch.device("cpu"),
        precision="float32",
        repeats=1,
    )
    assert network.reached == ["coarse", "coarse"]
