"""A tight-binding chain, whose hopping energies are fitted to a wanted band structure.

The Hamiltonian is filled entry by entry, and diagonalised for each momentum.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

import steepest as sd

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SITES = 4
momenta = np.linspace(-np.pi, np.pi, 41)
weights = {"onsite": np.linspace(-0.2, 0.2, SITES), "hopping": np.full(SITES, -1.0)}


def hamiltonian(k: float, onsite: Any, hopping: Any) -> Any:
    """One cell of the chain; the last bond leads to the next cell."""
    H = np.zeros((SITES, SITES), dtype=complex)
    for site in range(SITES):
        H[site, site] = onsite[site]
    for site in range(SITES - 1):
        H[site, site + 1] = hopping[site]
        H[site + 1, site] = np.conj(hopping[site])
    H[0, -1] += hopping[-1] * np.exp(-1j * k)
    H[-1, 0] += np.conj(hopping[-1]) * np.exp(1j * k)
    return H


def bands(onsite: Any, hopping: Any) -> Any:
    """Energies by momentum."""
    energies = np.empty((len(momenta), SITES))
    for place, k in enumerate(momenta):
        energies[place] = np.linalg.eigvalsh(hamiltonian(k, onsite, hopping))
    return energies


wanted = bands(np.array([0.3, -0.3, 0.3, -0.3]), np.array([-1.2, -0.6, -1.2, -0.6]))


def loss_fn(weights: Any) -> Any:
    """Mean squared distance from the wanted bands."""
    return np.mean((bands(weights["onsite"], weights["hopping"]) - wanted) ** 2)


def fit(steps: int = 200) -> Any:
    """Fit all energies."""
    return sd.descend(
        loss_fn, weights, step_size=0.02, optimizer="adam", steps=steps, progress=False
    )


def draw(result: sd.Descent) -> Figure:
    """Draw the bands before and after."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4), layout="constrained")
    cases = (("before", weights), ("after the fit", result.weights))
    for axes, (title, each) in zip(figure.subplots(1, 2, sharey=True), cases, strict=True):
        axes.plot(momenta, wanted, color="0.7", linewidth=4)
        axes.plot(momenta, bands(each["onsite"], each["hopping"]), color="C0")
        axes.set(title=title, xlabel="momentum")
    return figure


if __name__ == "__main__":
    from show import show

    show(loss_fn, weights, fit, draw, "tight_binding")
