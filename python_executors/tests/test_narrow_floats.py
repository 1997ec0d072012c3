"""Floats that numpy lacks, held against torch's own."""

import numpy as np
import pytest
import torch
from ncn_executor.datatypes import DATATYPES, datatype_of, is_narrow
from ncn_executor.narrow_floats import bits, from_bits, narrow, widen

TORCH = {
    "BF16": torch.bfloat16,
    "FP8E4M3FN": torch.float8_e4m3fn,
    "FP8E4M3FNUZ": torch.float8_e4m3fnuz,
    "FP8E5M2": torch.float8_e5m2,
    "FP8E5M2FNUZ": torch.float8_e5m2fnuz,
}


@pytest.mark.parametrize("datatype", TORCH)
def test_every_bit_pattern_means_what_it_means_to_torch(datatype: str) -> None:
    is_wide = datatype == "BF16"
    every = np.arange(1 << 16 if is_wide else 256)
    every = every.astype(np.uint16 if is_wide else np.uint8)
    signed = every.view(np.int16) if datatype == "BF16" else every
    wanted = torch.from_numpy(signed).view(TORCH[datatype]).float().numpy()
    found = widen(from_bits(every, datatype))
    assert np.array_equal(found, wanted, equal_nan=True)
    exact = ~np.isnan(found)
    back = bits(narrow(found[exact], datatype))
    assert np.array_equal(widen(from_bits(back, datatype)), found[exact])


@pytest.mark.parametrize("datatype", TORCH)
def test_numbers_are_rounded_as_torch_rounds_them(datatype: str) -> None:
    scale = np.array([1e-6, 1e-2, 1, 30], np.float32)[:, None]
    numbers = np.random.default_rng(1).normal(size=(4, 500)).astype(np.float32) * scale
    numbers = np.concatenate(
        [numbers.ravel(), np.array([0, -0.0, 0.5, 1.0625], np.float32)]
    )
    wanted = torch.from_numpy(numbers).to(TORCH[datatype]).float().numpy()
    assert np.array_equal(widen(narrow(numbers, datatype)), wanted)


def test_what_is_too_large_becomes_infinite_or_no_number() -> None:
    large = np.array([1e9, -1e9, np.nan], np.float32)
    assert np.isnan(widen(narrow(large, "FP8E4M3FN"))).all()
    assert np.isnan(widen(narrow(large, "FP8E5M2FNUZ"))).all()
    found = widen(narrow(large, "FP8E5M2"))
    assert found[:2].tolist() == [np.inf, -np.inf]
    assert np.isnan(found[2])


def test_a_single_number_keeps_its_shape() -> None:
    one = narrow(np.array(1.5, np.float32), "BF16")
    assert (one.shape, datatype_of(one), float(widen(one))) == ((), "BF16", 1.5)


def test_every_datatype_is_told_from_the_others() -> None:
    for name, spec in DATATYPES.items():
        assert datatype_of(np.empty(1, spec)) == name
        assert is_narrow(name) == (name in TORCH)
    assert datatype_of(np.empty(1, [("x", "u1")])) == ""
    assert datatype_of(np.empty(1, "c8")) == ""
