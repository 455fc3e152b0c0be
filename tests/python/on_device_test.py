# SPDX-License-Identifier: MIT
"""Results that stay on a GPU, here an emulated one, whose memory is ordinary memory."""

import ctypes
import gc

import numpy as np
import pytest
from conftest import TEXT

import vitrine
from vitrine import Capture, Edit, Error

SITE = "blocks.2.hook_resid_post"
MAP = "blocks.1.attn.hook_pattern"
CPU, CUDA = 1, 2


@pytest.fixture(scope="module")
def gpu() -> vitrine.Model:
    try:
        return vitrine.Model.load("demo", device="cuda")
    except Error as error:
        pytest.skip(str(error))


class DLTensor(ctypes.Structure):
    """As dlpack.h has it."""

    _fields_ = [
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    ]


def fields(capsule) -> DLTensor:
    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    return DLTensor.from_address(pointer(capsule, b"dltensor"))


def read(tensor: DLTensor, dtype=np.float32) -> np.ndarray:
    shape = tensor.shape[: tensor.ndim]
    memory = ctypes.string_at(tensor.data + tensor.byte_offset, int(np.prod(shape)) * np.dtype(dtype).itemsize)
    return np.frombuffer(memory, dtype).reshape(shape)


def test_a_capsule_says_where_the_values_are(gpu):
    kept = gpu.run(TEXT, capture=[SITE, MAP], on_device=True)
    wanted = gpu.run(TEXT, capture=[SITE, MAP])
    for name, values in ((SITE, wanted[SITE]), (MAP, wanted[MAP]), ("logits", wanted.logits)):
        exported = kept.dlpack(name)
        assert exported.__dlpack_device__() == (CUDA, 0)
        capsule = exported.__dlpack__(stream=1)
        tensor = fields(capsule)
        assert (tensor.device_type, tensor.device_id) == (CUDA, 0)
        assert (tensor.code, tensor.bits, tensor.lanes) == (2, 32, 1)
        assert np.array_equal(read(tensor), values)
    assert kept.captures.dlpack(SITE).__dlpack_device__() == (CUDA, 0)


def test_stored_types_and_batches(gpu):
    texts = [TEXT, "The key"]
    for store, dtype, code in (("f16", np.float16, 2), ("bf16", np.uint16, 4)):
        batch = gpu.run(texts, capture=Capture(SITE, store=store), logits="last", on_device=True)
        capsule = batch.dlpack(SITE).__dlpack__()
        tensor = fields(capsule)
        assert (tensor.code, tensor.bits) == (code, 16) and tensor.device_type == CUDA
        assert read(tensor, dtype).shape == (7, gpu.config.width)
        second = fields(kept := batch[1].dlpack(SITE).__dlpack__())
        assert np.array_equal(read(second, dtype), read(tensor, dtype)[5:])
        del kept
    host = gpu.run(texts, capture=Capture(SITE, store="f16"))
    assert np.array_equal(host.rows(SITE), read(fields(c := gpu.run(
        texts, capture=Capture(SITE, store="f16"), on_device=True).dlpack(SITE).__dlpack__()), np.float16))
    del c


def test_memory_lives_as_long_as_what_was_exported(gpu):
    wanted = gpu.run(TEXT, capture=SITE)[SITE]
    capsule = gpu.run(TEXT, capture=SITE, on_device=True).dlpack(SITE).__dlpack__()
    gc.collect()
    for _ in range(3):  # would take the same memory again
        gpu.run([5] * 5, capture=SITE, on_device=True)
    assert np.array_equal(read(fields(capsule)), wanted)


def test_a_pass_takes_values_of_the_gpu(gpu):
    clean = gpu.run(TEXT, capture=SITE, on_device=True)
    patched = gpu.run([5] * 5, edits=Edit.replace_from(SITE, clean.captures), capture=SITE)
    assert np.array_equal(patched[SITE], gpu.run(TEXT, capture=SITE)[SITE])


def test_what_needs_the_host_is_refused_by_name(gpu):
    run = gpu.run(TEXT, capture=SITE, on_device=True)
    batch = gpu.run([TEXT], capture=SITE, on_device=True)
    calls = [
        lambda: run.logits,
        lambda: run[SITE],
        lambda: run.captures.values(),
        lambda: run.captures.mean(SITE),
        lambda: batch.rows(SITE),
    ]
    for call in calls:
        with pytest.raises(Error, match=r"on the GPU.*torch\.from_dlpack.*on_device"):
            call()
    with pytest.raises((BufferError, RuntimeError, TypeError)):
        np.from_dlpack(run.dlpack(SITE))
    with pytest.raises(Error, match="was not captured"):
        run.dlpack("hook_embed")


def test_on_a_cpu_the_results_are_there(model):
    run = model.run(TEXT, capture=SITE, on_device=True)
    assert run.dlpack(SITE).__dlpack_device__() == (CPU, 0)
    assert np.shares_memory(np.from_dlpack(run.dlpack(SITE)), run[SITE])
    assert np.array_equal(np.from_dlpack(run.dlpack("logits")), model.run(TEXT).logits)
