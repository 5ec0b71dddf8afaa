"""The bench of two layers computes what the library computes, says what its theorems promise, and is worked by everybody."""

import numpy as np
import pytest
import torch
from live_pages import API, answer, written

from deepatoms.learning.networks.export import encoded
from deepatoms.studies.ml_csc import drawing
from deepatoms.theory import convolutional, multilayer, pursuit, stability

KINDS = ("soft", "nonnegative", "hard")
READ = """layers => layers.map(({filters, atoms, kernel, length}) =>
    deepatomsLayers.layer(deepatomsLive.numbers(filters), atoms, kernel, length))"""


@pytest.fixture(scope="module")
def data():
    return drawing.two_layer_bench()[1]


@pytest.fixture
def bench(open_page, tmp_path, serve, data):
    opened = open_page(serve(written(tmp_path, "two-layer-bench", data)))
    opened.wait_for_selector(".deepatoms-wave")
    return opened


def cases(count):
    """Signals with dictionaries of their own, near and far from each other, and thresholds that keep few entries or many."""
    draw = np.random.default_rng(31)
    signals = multilayer.draw(drawing.BENCH, count, draw, spikes=3, gap=60)
    noise = multilayer.gaussian_noise(signals, draw.uniform(0, 0.4, count), draw)
    for i in range(count):
        one = signals[[i]]
        yield one, (one.signal + noise[[i]])[0], draw.uniform([0.03, 0.05], [0.5, 0.8]).tolist()


def plain(signals):
    return [{"filters": encoded(D.filters[0]), "atoms": D.atoms, "kernel": D.kernel[0], "length": D.grid[0]}
            for D in signals.dictionaries]


def test_a_hundred_signals_have_the_library_s_codes_of_both_layers(bench):
    for signals, x, levels in cases(100):
        found = bench.evaluate(f"""([layers, x, levels, kinds]) => {{
            const built = ({READ})(layers);
            return kinds.map(kind => deepatomsLayers.pursue(built, x, levels, kind).map(code => [...code]));
        }}""", [plain(signals), x[0].tolist(), levels, KINDS])
        dictionaries = [D.filters[0] for D in signals.dictionaries]
        for kind, codes in zip(KINDS, found, strict=True):
            for mine, theirs in zip(codes, pursuit.layered_thresholding(x, dictionaries, levels, kind), strict=True):
                np.testing.assert_array_equal(np.array(mine) != 0, theirs.flatten() != 0)
                np.testing.assert_allclose(mine, theirs.flatten(), rtol=1e-9, atol=1e-12)


def test_a_hundred_signals_have_the_library_s_basis_pursuit_of_both_layers(bench):
    for signals, x, levels in cases(100):
        weights = [max(level, 0.15) for level in levels]
        found = bench.evaluate(f"""([layers, x, weights]) =>
            deepatomsLayers.pursue(({READ})(layers), x, weights, "basis").map(code => [...code])""",
                               [plain(signals), x[0].tolist(), weights])
        above = x
        for D, mine, weight in zip([D.filters[0] for D in signals.dictionaries], found, weights, strict=True):
            code = torch.tensor(mine, dtype=torch.float64).reshape(len(D), -1)
            theirs = pursuit.sparse_basis_pursuit(above[None], D, weight, tolerance=1e-13)[0]
            # the library stops at a gap, the page at the conditions of optimality: the support is the same, and they hold
            np.testing.assert_array_equal(code != 0, theirs != 0)
            np.testing.assert_allclose(code, theirs, atol=1e-6)
            _is_optimal(above, D, code, weight)
            above = code


def _is_optimal(above, D, code, weight):
    left = convolutional.analyze(D, above - convolutional.synthesize(D, code))
    np.testing.assert_allclose(left[code != 0], weight * code[code != 0].sign(), rtol=1e-9, atol=1e-9)
    assert left.abs().max() <= weight + 1e-9


def test_a_hundred_signals_have_the_library_s_numbers_windows_and_bounds(bench):
    for number, (signals, _, levels) in enumerate(cases(100)):
        noise, codes = number / 500, [code[0].flatten().tolist() for code in signals.codes]
        found = bench.evaluate(f"""([layers, codes, noise, levels]) => {{
            const L = deepatomsLayers, given = L.numbers(({READ})(layers), codes);
            return {{given, unique: given.map(L.unique).map(limit => limit === Infinity ? -1 : limit),
                    promised: ["soft", "hard", "basis"].map(kind => L.guarantees(given, noise, levels, kind)),
                    chosen: ["soft", "hard"].map(kind => L.thresholds(given, noise, kind))}};
        }}""", [plain(signals), codes, noise, levels])
        layers = stability.layers([D.filters[0] for D in signals.dictionaries], [code[0] for code in signals.codes])
        for each, layer in zip(found["given"], layers, strict=True):
            assert each == pytest.approx({name: float(getattr(layer, name)) for name in each}, rel=1e-9)
        assert found["unique"] == pytest.approx([float(stability.uniqueness_limit(layer)) for layer in layers], rel=1e-9)
        bounds = (stability.soft_thresholding_bounds, stability.hard_thresholding_bounds)
        for mine, chosen, theirs in zip(found["promised"], found["chosen"], bounds, strict=False):
            _promises_the_same(mine, theirs(layers, noise, levels), layers)
            assert chosen == pytest.approx([float(bound.threshold) for bound in theirs(layers, noise)], rel=1e-9, abs=1e-12)
        for mine, theirs in zip(found["promised"][2], stability.basis_pursuit_bounds(layers, noise), strict=True):
            assert [mine[name] for name in ("noise", "limit", "lower", "error")] == pytest.approx(
                [float(each) for each in (theirs.noise, theirs.limit, theirs.weight, theirs.error)], rel=1e-9, abs=1e-12)


def _promises_the_same(found, expected, layers):
    for mine, theirs, layer in zip(found, expected, layers, strict=True):
        for name in ("noise", "lower", "upper", "error"):
            assert mine[name] == pytest.approx(float(getattr(theirs, name)), rel=1e-9, abs=1e-12), name
        assert mine["holds"] == bool(theirs.holds)
        assert mine["limit"] == pytest.approx(float(stability.stripe_limit(layer, theirs.noise)), rel=1e-9, abs=1e-9)


def test_the_page_s_own_draws_are_signals_of_its_layers_with_the_chosen_noise(bench):
    for seed in range(5):
        found = bench.evaluate(f"""seed => {{
            {API}.set({{spikes: 4, noise: 0.3, seed}});
            const {{codes, x}} = {API}.trial(seed), [first, second] = {API}.layers(), L = deepatomsLayers;
            const clean = L.synthesize(first, codes[0]), noise = x.map((value, i) => value - clean[i]);
            const off = L.synthesize(second, codes[1]).map((value, i) => Math.abs(value - codes[0][i]));
            return {{spikes: codes[1].filter(Boolean).length, off: Math.max(...off),
                    noise: L.patchNorm(noise, first.kernel, first.length)}};
        }}""", seed)
        assert found["spikes"] == 4 and found["off"] < 1e-11 and found["noise"] == pytest.approx(0.3, rel=1e-9)


def test_inside_the_windows_no_draw_loses_an_entry(bench):
    covered = bench.evaluate(f"""() => ["soft thresholding", "hard thresholding", "ReLU"].map(name => {{
        {API}.set({{name, noise: 0.02, signs: name === "ReLU" ? "positive" : "both signs", levels: [0.115, 0.58]}});
        const trials = Array.from({{length: 60}}, (_, seed) => {API}.trial(seed)).filter(each => each.covered);
        const wrong = ({{found}}) => found.some(({{lost, invented}}) => lost.length + invented.length);
        return [trials.length, trials.filter(wrong).length];
    }})""")
    assert all(count > 10 and wrong == 0 for count, wrong in covered), covered


def test_a_reader_drags_a_threshold_out_of_its_window_and_is_told_which(bench):
    assert "The theorem covers this draw: every support must be found" in answer(bench)
    slider = bench.get_by_role("slider", name="Threshold of layer 1")
    box = slider.bounding_box()
    bench.mouse.move(box["x"] + box["width"] * 0.13, box["y"] + box["height"] / 2)
    bench.mouse.down()
    bench.mouse.move(box["x"] + box["width"] * 0.9, box["y"] + box["height"] / 2, steps=6)
    bench.mouse.up()
    assert 0.65 < float(slider.input_value()) < 0.75
    assert "Layer 1: 0 found, 6 lost" in answer(bench) and "the threshold of layer 1 is 0.7" in answer(bench)
    bench.get_by_role("button", name="The theorem's thresholds").click()
    assert "The theorem covers this draw" in answer(bench) and float(slider.input_value()) < 0.2
    before = answer(bench)
    bench.get_by_role("button", name="New draw").click()
    assert answer(bench) != before
    bench.get_by_role("button", name="20 draws").click()
    assert answer(bench).startswith("Of 20 other draws with these thresholds, soft thresholding finds the support of layer 1 in")


def test_keys_move_thresholds_noise_and_spikes(bench):
    for name in ("Threshold of layer 1", "Threshold of layer 2", "Norm of the noise", "Spikes"):
        slider = bench.get_by_role("slider", name=name)
        before, said = slider.input_value(), slider.get_attribute("aria-valuetext")
        slider.press("ArrowRight")
        assert float(slider.input_value()) > float(before) and slider.get_attribute("aria-valuetext") != said
    assert answer(bench).startswith("3 spikes, noise 0.021")
    bench.get_by_role("button", name="ReLU").press("Enter")
    assert "ReLU" in answer(bench)


def test_a_threshold_is_typed_and_what_is_none_is_refused(bench):
    field, slider = bench.get_by_label("Threshold of layer 1, typed"), bench.get_by_role("slider", name="Threshold of layer 1")
    for text, value in (("0.25", 0.25), ("0,3", 0.3), (" .4 ", 0.4)):
        field.fill(text)
        field.press("Enter")
        assert float(slider.input_value()) == value and answer(bench).startswith("2 spikes")
        assert bench.evaluate(f"{API}.state().levels[0]") == value
    for text in ("", "half", "-1", "1e999", "Infinity", "NaN", "0.9"):
        field.fill(text)
        field.press("Enter")
        assert answer(bench) == f"This could not be computed: “{text}” is not a number from 0.01 to 0.8"
        assert field.get_attribute("aria-invalid") == "true" and bench.evaluate(f"{API}.state().levels[0]") == 0.4
    slider.press("ArrowRight")
    assert field.get_attribute("aria-invalid") is None and 0.4 < float(field.input_value()) < 0.42


def test_the_relu_loses_what_is_negative_and_not_what_is_positive(bench):
    bench.get_by_role("button", name="ReLU").click()
    assert "the ReLU loses what is negative" in answer(bench) and "lost" in answer(bench)
    bench.get_by_role("button", name="positive").click()
    bench.get_by_role("button", name="The theorem's thresholds").click()
    assert "The theorem covers this draw" in answer(bench) and "lost" not in answer(bench)


def test_basis_pursuit_is_told_the_theorem_s_weights_and_crowds(bench):
    bench.get_by_role("button", name="basis pursuit").click()
    assert "it asks for the weight 0.080 at layer 1, not 0.113" in answer(bench)
    bench.evaluate(f"() => {API}.set({{noise: 0.001}})")
    bench.get_by_role("button", name="The theorem's thresholds").click()
    assert "it asks for the weight 0.004 at layer 1, not 0.010" in answer(bench)  # below what the slider has
    bench.evaluate(f"() => {API}.set({{noise: 0.01}})")
    bench.get_by_role("button", name="The theorem's thresholds").click()
    assert "2 found. The theorem covers this draw: nothing can be invented" in answer(bench)
    bench.evaluate(f"() => {API}.set({{spikes: 8}})")
    assert "entries in its fullest stripe and may have fewer than" in answer(bench)


def test_no_code_and_thresholds_that_are_none_and_too_low_weights_are_refused_in_a_sentence(bench):
    bench.get_by_role("slider", name="Spikes").fill("0")
    assert "There is no code: whatever is found is invented." in answer(bench)
    bench.get_by_role("button", name="The theorem's thresholds").click()
    assert answer(bench) == "This could not be computed: without a spike there is no threshold to choose"
    for level in ("NaN", "Infinity", "-1"):
        bench.evaluate(f"() => {API}.set({{levels: [{level}, 0.1]}})")
        assert answer(bench).startswith(f"This could not be computed: the threshold of layer 1 is {level};")
        assert bench.locator(".deepatoms-found").count() == 0  # nothing old stands beside it
    bench.evaluate(f"() => {API}.set({{name: 'basis pursuit', spikes: 5, noise: 0.5, levels: [0.01, 0.1]}})")
    assert "basis pursuit with the weight 0.010 takes more than 60 entries; raise it" in answer(bench)
    bench.get_by_role("slider", name="Threshold of layer 1").fill("0.4")
    assert answer(bench).startswith("5 spikes")


def test_a_move_is_answered_within_50_milliseconds(bench, took):
    for name in ("soft thresholding", "hard thresholding", "ReLU", "basis pursuit"):
        levels = "[0.01 + turn / 60, 0.01 + turn / 50]"
        change = f"{{name: {name!r}, spikes: 1 + turn % 8, noise: turn / 67, levels: {levels}, seed: turn}}"
        assert took(bench, f"turn => {API}.set({change})") < 50, name


def test_the_bench_works_by_touch_on_a_phone(open_page, tmp_path, serve, data):
    page = open_page(serve(written(tmp_path, "two-layer-bench", data)), viewport={"width": 390, "height": 844}, has_touch=True,
                     is_mobile=True)
    box = page.get_by_role("slider", name="Threshold of layer 2").bounding_box()
    page.touchscreen.tap(box["x"] + box["width"] - 12, box["y"] + box["height"] / 2)
    assert "Layer 2: 0 found, 2 lost" in answer(page)
    page.get_by_role("button", name="The theorem's thresholds").tap()
    assert "The theorem covers this draw" in answer(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
