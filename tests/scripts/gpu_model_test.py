# SPDX-License-Identifier: MIT
"""tools/gpu_model.py on kernels, launches and measurements that are made up: its arithmetic, and what it refuses."""

import json
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

from gpu_time import chip, code, compare, kernels, launches, table, time  # noqa: E402


def listing(*lines: str) -> str:
    """What cuobjdump prints of a kernel with these instructions."""
    body = [f"        /*{16 * i:04x}*/                   {line} ;      /* 0x0 */" for i, line in enumerate(lines)]
    return "\n".join(["\t\tFunction : a_kernel", *body])


def walk(*lines: str, **more) -> code.Walk:
    return code.walk(code.parse_code(listing(*lines))["a_kernel"], more.pop("trips", {}), **more)


class Walk(unittest.TestCase):
    def test_an_instruction_waits_for_its_operands(self):
        found = walk("LDG.E R4, [R2.64]", "FADD R5, R4, R4", "EXIT")
        self.assertEqual(found.end, 1 + chip.LATENCY_L2 + 1 + 1)

    def test_shuffles_and_atomic_operations_are_waited_for(self):
        self.assertGreater(walk("SHFL.BFLY PT, R4, R5, 0x1, 0x1f", "FADD R6, R4, R4", "EXIT").end, chip.LATENCY_SHUFFLE)
        self.assertGreater(walk("ATOMG.E.ADD.STRONG.GPU PT, R4, desc[UR14][R2.64], R5", "IADD3 R6, R4, R4, RZ", "EXIT").end, chip.LATENCY_ATOMIC)

    def test_independent_loads_are_under_way_together(self):
        one = walk("LDG.E R4, [R2.64]", "FADD R6, R4, R4", "EXIT").end
        two = walk("LDG.E R4, [R2.64]", "LDG.E R5, [R2.64+0x4]", "FADD R6, R4, R5", "EXIT").end
        self.assertEqual(two, one + 1)

    def test_a_load_of_several_registers_holds_up_the_reader_of_the_last(self):
        found = walk("LDG.E.128 R4, [R2.64]", "FADD R8, R7, R7", "EXIT")
        self.assertGreater(found.end, chip.LATENCY_L2)

    def test_loads_before_the_wait_are_hidden_by_the_kernel_before(self):
        lines = ("LDG.E.128 R4, [R2.64]", "ACQBULK", "FADD R8, R7, R7", "EXIT")
        cold, hidden = walk(*lines), walk(*lines, lead=2 * chip.LATENCY_DRAM)
        self.assertEqual(cold.loads_before_wait, 1)
        self.assertGreater(cold.end - cold.waited, chip.LATENCY_DRAM - 10)
        self.assertIn(hidden.end - 2 * chip.LATENCY_DRAM, range(10))

    def test_a_wait_of_some_warps_is_passed_over(self):
        lines = ("@P0 BRA 0x20", "ACQBULK", "LDG.E.128 R4, [R2.64]", "ACQBULK", "FADD R8, R7, R7", "EXIT")
        self.assertEqual(walk(*lines).loads_before_wait, 1)

    def test_what_a_launch_does_not_do_is_passed_over(self):
        loop = ("@P0 BRA 0x30", "LDG.E R4, [R2.64]", "@P1 BRA 0x10", "EXIT")
        self.assertNotIn("load", walk(*loop, trips={"load": 0}).uses)
        self.assertEqual(walk(*loop, trips={"load": 2}).uses["load"], 2)
        join = ("@P0 BRA 0x20", "ATOMG.E.ADD PT, R4, [R2.64], R5", "EXIT")
        self.assertNotIn("atomic", walk(*join, trips={"atomic": 0}).uses)
        self.assertIn("atomic", walk(*join).uses)

    def test_a_loop_goes_round_as_often_as_it_is_told(self):
        lines = ("HMMA.16816.F32.BF16 R4, R8, R12, R4", "@P0 BRA 0x0", "EXIT")
        found = walk(*lines, trips={"tensor": 10})
        self.assertAlmostEqual(found.uses["tensor"], 10 * chip.RATE_TENSOR)
        self.assertGreater(found.end, 9 * chip.LATENCY_TENSOR)  # each adds to the sums of the one before

    def test_a_warp_groups_products_keep_the_tensor_cores_busy_and_are_waited_for(self):
        product = "HGMMA.64x64x16.F32.BF16 R24, R56, gdesc[UR12], RZ, !UPT"
        found = walk(product, product, "WARPGROUP.DEPBAR.LE gsb0, 0x0", "EXIT")
        self.assertEqual(found.uses["groups"], 2 * 64 * 64 * 16 / (4096 / 2))  # half of 4096 operations a cycle are products
        self.assertGreater(found.end, found.uses["groups"] + chip.LATENCY_GROUP)

    def test_rounds_are_those_of_the_outer_loop(self):
        product = "HMMA.16816.F32.BF16 R4, R8, R12, R4"
        found = walk(product, product, "@P0 BRA 0x10", "@P1 BRA 0x0", "EXIT", trips={"tensor": 3})
        self.assertAlmostEqual(found.uses["tensor"], 3 * 2 * chip.RATE_TENSOR)

    def test_a_loop_that_leaves_from_its_middle_goes_round_all_the_same(self):
        product = "HMMA.16816.F32.BF16 R4, R8, R12, R4"
        found = walk(product, "@P0 BRA 0x30", "EXIT", "FADD R9, R9, R9", "BRA 0x0", trips={"tensor": 3})
        self.assertAlmostEqual(found.uses["tensor"], 3 * chip.RATE_TENSOR)

    def test_a_way_back_from_after_the_end_is_no_loop(self):
        product = "HMMA.16816.F32.BF16 R4, R8, R12, R4"
        found = walk(product, "@P0 BRA 0x0", "EXIT", "WARPSYNC.COLLECTIVE R5, 0x40", "BRA 0x0", trips={"tensor": 3})
        self.assertAlmostEqual(found.uses["tensor"], 3 * chip.RATE_TENSOR)

    def test_a_walk_ends_at_its_last_barrier(self):
        lines = ("BAR.SYNC 0x0", "FADD R4, R5, R6", "BAR.SYNC 0x0", "LDG.E R4, [R2.64]", "FADD R5, R4, R4", "EXIT")
        self.assertLess(walk(*lines, trips={"last barrier": 2}).end, chip.LATENCY_L2)
        self.assertGreater(walk(*lines).end, chip.LATENCY_L2)

    def test_of_two_ways_it_takes_the_one_with_tensor_cores(self):
        found = walk("@P0 BRA 0x30", "FADD R4, R5, R6", "BRA 0x40", "HMMA.16816.F32.BF16 R4, R8, R12, R4", "EXIT")
        self.assertIn("tensor", found.uses)

    def test_a_group_of_copies_is_waited_for_once_it_must_have_arrived(self):
        lines = ["LDGSTS.E.BYPASS.128 [R4], [R2.64]", "LDGDEPBAR", "LDGSTS.E.BYPASS.128 [R4], [R2.64]", "LDGDEPBAR", "DEPBAR.LE SB0, 0x1", "STS [R4], R5",
                 "EXIT"]
        self.assertGreaterEqual(walk(*lines).end, 1 + chip.LATENCY_L2)
        self.assertEqual(walk(*lines).uses["copy"], 8)


class Occupancy(unittest.TestCase):
    def test_registers_shared_memory_and_threads_limit_blocks(self):
        self.assertEqual(chip.blocks_per_processor(100, 96, 1024), 5)  # 104 a thread: 4 warps a quarter, 3 a block
        self.assertEqual(chip.blocks_per_processor(32, 128, 100 * 1024), 2)
        self.assertEqual(chip.blocks_per_processor(32, 1024, 0), 2)
        self.assertEqual(chip.blocks_per_processor(128, 512, 1024 + 227 * 1024), 1)  # the most that a block may ask for
        self.assertEqual(chip.blocks_per_processor(16, 32, 0), chip.BLOCKS)

    def test_refuses_what_no_kernel_has(self):
        for registers, threads in ((0, 32), (256, 32), (32, 0), (32, 1025)):
            with self.assertRaises(ValueError):
                chip.blocks_per_processor(registers, threads, 0)


SMALL = kernels.Pass(launches.SIZES["gpt2"], "decode", 1, 16)


def kernel(*lines: str, registers: int = 32) -> code.Kernel:
    return code.Kernel("a_kernel", registers, 0, code.parse_code(listing(*lines))["a_kernel"])


class Time(unittest.TestCase):
    def predict(self, use: kernels.Use, blocks: int = 132, lead: float = 0.0) -> time.Prediction:
        launch = launches.Launch("a_kernel", (blocks, 1, 1), 128, 0, True)
        return time.predict(kernel("LDG.E.128 R4, [R2.64]", "ACQBULK", "FADD R8, R7, R7", "EXIT"), launch, use, lead, 1e-6)

    def test_bytes_take_the_bandwidth(self):
        found = self.predict(kernels.Use(dram=4.3e9))
        self.assertEqual(found.limit, "memory")
        self.assertAlmostEqual(found.seconds, 1e-3 + 1e-6, delta=1e-6)

    def test_a_short_kernel_takes_the_latency_of_its_load(self):
        found = self.predict(kernels.Use())
        self.assertEqual(found.limit, "a warp's way")
        self.assertAlmostEqual(found.seconds, 1e-6 + chip.LATENCY_DRAM / chip.CLOCK, delta=2e-8)

    def test_the_kernel_before_hides_it(self):
        self.assertLess(self.predict(kernels.Use(), lead=1e-6).seconds, 1.1e-6)

    def test_blocks_that_do_not_fit_come_after(self):
        self.assertEqual(self.predict(kernels.Use(), blocks=132 * 16).waves, 1)
        once, twice = (self.predict(kernels.Use(), blocks=132 * 16 * n).alone for n in (1, 2))
        self.assertAlmostEqual(twice, 2 * once, delta=once / 5)

    def test_refuses_a_block_that_fits_no_processor(self):
        launch = launches.Launch("a_kernel", (1, 1, 1), 128, 300 * 1024)
        with self.assertRaisesRegex(ValueError, "fits no processor"):
            time.predict(kernel("EXIT"), launch, kernels.Use(), 0.0, 0.0)

    def test_refuses_a_launch_without_machine_code(self):
        with self.assertRaisesRegex(ValueError, "no kernel another"):
            time.predict_pass(SMALL, [launches.Launch("another", block=32)], {})

    def test_floors_are_those_of_the_plan(self):
        for name, batch, tokens, workload, wanted in (("gpt2", 1, 0, "decode", 0.0575e-3), ("gpt2-xl", 1, 0, "decode", 0.724e-3),
                                                      ("gpt2-xl", 1, 1024, "decode", 0.797e-3), ("gpt2", 1, 1024, "forward", 0.345e-3),
                                                      ("gpt2-xl", 1, 1024, "forward", 4.235e-3)):
            found = table.floor(kernels.Pass(launches.SIZES[name], workload, batch, tokens))
            self.assertAlmostEqual(found / wanted, 1, delta=0.01)


class Shapes(unittest.TestCase):
    def test_a_layernorm_in_a_projection_is_known_by_its_memory(self):
        def trips(shared: int) -> dict:
            operation = launches.Operation("linear", 0, 2 * 768 * 2304)
            return kernels.describe(SMALL, launches.Launch("few_rows_kernel<Bf16, 1, 2>(...)", (288, 1, 1), 96, shared, operation=operation)).trips
        self.assertEqual(trips(1568 + 1536)["wide"], 0)  # no sums in double precision
        self.assertNotIn("wide", trips(1568 + 1536 + 3 * 768 * 4 + 96))

    def test_a_product_is_known_by_its_operations_and_its_grid(self):
        flops = 2 * 768 * 3072
        up = launches.Launch("few_rows_kernel<Bf16, 1, 1>(...)", (384, 1, 1), 96, operation=launches.Operation("linear", 0, flops))
        down = launches.Launch(up.kernel, (96, 1, 1), 384, operation=up.operation)
        self.assertEqual(kernels.shape_of(SMALL, up, 8 * 384), (768, 3072))
        self.assertEqual(kernels.shape_of(SMALL, down, 8 * 96), (3072, 768))
        self.assertEqual(kernels.describe(SMALL, up).dram, 2 * 768 * 3072)

    def test_blocks_that_walk_on_are_known_by_their_warps(self):
        operation = launches.Operation("linear", 0, 2 * 768 * 3072)
        use = kernels.describe(SMALL, launches.Launch("few_rows_kernel<Bf16, 1, 1>(...)", (96, 1, 1), 96, operation=operation))
        self.assertEqual(use.trips["tensor"], 4)  # 384 groups of 8 outputs in 96 blocks, 3 parts in 3 warps
        use = kernels.describe(SMALL, launches.Launch("few_rows_kernel<Bf16, 1, 1>(...)", (96, 1, 1), 192, operation=operation))
        self.assertEqual(use.trips["tensor"], 2)  # 96 groups of 8 outputs, 12 parts in 6 warps

    def test_an_mlps_products_are_told_apart_by_their_bytes(self):
        at = kernels.Pass(launches.SIZES["gpt2"], "forward", 1, 1024)
        weights, flops = 2 * 768 * 3072, 2 * 1024 * 768 * 3072
        first = 1024 * (2 * 768 + 2 * 3072) + 4 * 3072 + weights
        second = 1024 * (2 * 3072 + 4 * 768 + 4 * 768) + 4 * 768 + weights
        for read_and_written, shape in ((first, (768, 3072)), (second, (3072, 768))):
            launch = launches.Launch("hopper_linear<Bf16, 192>(...)", (132, 1, 1), 512, operation=launches.Operation("linear", read_and_written, flops))
            self.assertEqual(kernels.shape_by_bytes(at, launch), shape)
            self.assertGreater(kernels.describe(at, launch).seconds, flops / chip.TENSOR)

    def test_a_cluster_reads_once_what_its_tiles_share(self):
        at = kernels.Pass(launches.SIZES["gpt2-xl"], "forward", 8, 1024)
        operation = launches.Operation("linear", 0, 2 * 8192 * 1600 * 1600)
        alone, pair = (kernels.describe(at, launches.Launch("hopper_linear<Bf16, 160>(...)", (132, 1, 1), 512, cluster=n, operation=operation))
                       for n in (1, 2))
        self.assertEqual(alone.l2, 64 * 10 * 1600 * 2 * (128 + 160))
        self.assertEqual(pair.l2, 64 * 10 * 1600 * 2 * (128 + 80))
        self.assertEqual(alone.seconds, pair.seconds)

    def test_refuses_a_product_that_no_pass_has(self):
        with self.assertRaisesRegex(ValueError, "no matrix product"):
            kernels.describe(SMALL, launches.Launch("few_rows_kernel<Bf16, 1, 1>(...)", (96, 1, 1), 96, operation=launches.Operation("linear", 0, 10)))

    def test_attention_over_prompts_reads_the_tiles_that_a_blocks_queries_see(self):
        at = kernels.Pass(launches.SIZES["gpt2"], "forward", 1, 256)
        for kernel in ("attend<Bf16, 64>(AttentionArgs)", "hopper_attend<Bf16>(AttentionArgs)"):
            use = kernels.describe(at, launches.Launch(kernel, (12, 2, 1), 256))
            self.assertEqual(use.l2, 12 * (2 + 4) * 64 * 64 * 2 * 2)  # 128 queries a block: 2 tiles of the first, 4 of the second
            self.assertAlmostEqual(use.average, 2.5 / 4)

    def test_a_kernel_without_description_says_so(self):
        self.assertFalse(kernels.describe(SMALL, launches.Launch("a_kernel()", block=32)).known)

    def test_signatures_of_all_sides_agree(self):
        for text in ("void vitrine::internal::cuda::(anonymous namespace)::f<vitrine::internal::cuda::Bf16, 1, true>(float*)",
                     "void vitrine::internal::cuda::<unnamed>::f<vitrine::internal::cuda::Bf16, (int)1, (bool)1>(float *)",
                     "void vitrine::internal::cuda::_GLOBAL__N__d2_11_few_rows_cu_80::f<vitrine::internal::cuda::Bf16, 1, true>(float*)"):
            self.assertEqual(code.simplify(text), "f<Bf16, 1, 1>(float*)")


class Listing(unittest.TestCase):
    SYMBOLS = {0x100: "cuda_on_host::usual_gpu()", 0x200: "f<Bf16>(float*)"}

    def test_reads_the_recorded_step_alone(self):
        text = "\n".join(["anchor\t0x1100", "launch\t0x1200\t9\t1\t1\t32\t0\t1\t1", "record", "begin\tlinear\t10\t20", "launch\t0x1200\t3\t2\t1\t64\t5\t1\t2", "end",
                          "copy\t8", "recorded", "replay", "launch\t0x1200\t9\t1\t1\t32\t0\t1\t1"])
        first, second = launches.parse_listing(text, self.SYMBOLS)
        self.assertEqual((first.kernel, first.blocks, first.block, first.shared, first.early, first.cluster), ("f<Bf16>(float*)", 6, 64, 5, True, 2))
        self.assertEqual((first.operation.name, first.operation.bytes, first.operation.flops), ("linear", 10, 20))
        self.assertEqual((second.kernel, second.bytes), ("copy", 8))

    def test_refuses_a_listing_without_launches_and_a_program_that_is_another(self):
        with self.assertRaisesRegex(ValueError, "no launch"):
            launches.parse_listing("anchor\t0x1100\nrecord\nrecorded", self.SYMBOLS)
        with self.assertRaisesRegex(ValueError, "usual_gpu"):
            launches.parse_listing("", {})

    def test_an_empty_model_takes_no_room(self):
        with tempfile.TemporaryDirectory() as work:
            launches.write_empty_model(Path(work), launches.SIZES["gpt2"])
            weights = Path(work) / "model.safetensors"
            self.assertGreater(weights.stat().st_size, 2 * 124e6)
            self.assertLess(weights.stat().st_blocks * 512, 1e6)


PREDICTED = [{"kernel": "f<Bf16>(float*)", "short": "f<Bf16>", "grid": "3,2,1", "launches": 12, "alone_us": 2.0, "limit": "memory"},
             {"kernel": "g(int)", "short": "g", "grid": "1,1,1", "launches": 1, "alone_us": 5.0, "limit": "L2"}]
NCU = '''==PROF== Connected
"ID","Kernel Name","Block Size","Grid Size","Metric Name","Metric Unit","Metric Value"
"0","void vitrine::internal::cuda::<unnamed>::f<vitrine::internal::cuda::Bf16>(float *)","(64, 1, 1)","(3, 2, 1)","gpu__time_duration.sum","ns","2,900"
"0","void vitrine::internal::cuda::<unnamed>::f<vitrine::internal::cuda::Bf16>(float *)","(64, 1, 1)","(3, 2, 1)","dram__bytes.sum","byte","1"
"1","void vitrine::internal::cuda::<unnamed>::f<vitrine::internal::cuda::Bf16>(float *)","(64, 1, 1)","(3, 2, 1)","gpu__time_duration.sum","ns","3,100"
"2","h()","(64, 1, 1)","(1, 1, 1)","gpu__time_duration.sum","us","1.5"
'''


class Compare(unittest.TestCase):
    def test_a_kernel_is_held_against_the_mean_of_its_launches(self):
        lines = compare.compare_kernels(PREDICTED, compare.parse_measured(NCU))
        self.assertEqual(lines[1].split()[:7], ["f<Bf16>", "3,2,1", "12", "2.00", "3.00", "1.50", "+12.0"])
        self.assertIn("not measured: g 1,1,1", lines)
        self.assertIn("not predicted: h() 1,1,1", lines)

    def test_reads_nsys_too(self):
        text = "Time (%),Total Time (ns),Instances,Avg (ns),Name\n90,24000,12,2000.0,void vitrine::internal::g(int)\n"
        self.assertEqual(compare.parse_measured(text), [compare.Measured("g(int)", "", 2e-6, 12)])

    def test_refuses_other_tables(self):
        for text in ("", "a,b\n1,2\n", NCU.replace('"us"', '"parsec"'), NCU.replace("gpu__time", "cpu__time")):
            with self.assertRaises(ValueError):
                compare.parse_measured(text)

    def test_passes_are_found_in_what_the_device_check_wrote(self):
        passes = [{"size": "gpt2", "name": "gpt2: decode", "workload": "decode", "batch": 1, "tokens": 16, "hooks": "none", "ms": 0.1}]
        row = {"model": "gpt2", "workload": "decode", "shape": "batch 1 after 16", "hooks": None, "dtype": "bf16", "seconds": {"median": 2e-4}}
        lines = compare.compare_passes(passes, json.dumps({"bench": [{"peer": "x", "rows": [row]}, {"rows": [row]}]}))
        self.assertEqual(len(lines), 2)
        self.assertTrue(lines[1].endswith("2.00"))


class Command(unittest.TestCase):
    def run_it(self, *words: str) -> subprocess.CompletedProcess:
        return subprocess.run([sys.executable, str(ROOT / "tools" / "gpu_model.py"), *words], capture_output=True, text=True, check=False)

    def test_rejects_invalid_options_in_a_line(self):
        for words, message in ((("--build", "/nonexistent"), "/nonexistent has no list_launches"), (("--size", "huge"), "invalid choice"),
                               (("--predicted", "x"), "--predicted goes with --measured or --bench")):
            done = self.run_it(*words)
            self.assertEqual(done.returncode, 2)
            self.assertIn(message, done.stderr)

    def test_compares_files(self):
        with tempfile.TemporaryDirectory() as work:
            predicted, measured = Path(work) / "p.json", Path(work) / "m.csv"
            predicted.write_text(json.dumps([{"size": "gpt2", "workload": "decode", "kernels": PREDICTED}]))
            measured.write_text(NCU)
            done = self.run_it("--predicted", str(predicted), "--measured", str(measured), "--size", "gpt2")
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertIn("f<Bf16>", done.stdout)


if __name__ == "__main__":
    unittest.main()
