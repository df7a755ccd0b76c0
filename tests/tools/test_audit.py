"""`unreel audit`: the probe, the verdicts, and the command on a tiny data set."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from unreel.models.evaluation import Estimate
from unreel.pipelines.guards import GUARDS
from unreel.shards.catalogue import Catalogue
from unreel.tools.audit.cases import CASES, UNASKED
from unreel.tools.audit.findings import Finding, Side
from unreel.tools.audit.probe import Evidence, probe
from unreel.tools.audit.worlds import WORLDS
from unreel.tools.cli import app

TESTS = Path(__file__).parents[1]


def evidence(seen: np.ndarray, answers: np.ndarray) -> Evidence:
    sources = np.array([f"source {row // 8}" for row in range(len(answers))])
    return Evidence(seen=seen.astype(np.float32), answers=answers, sources=sources)


def test_a_probe_finds_what_is_there_and_nothing_where_there_is_nothing() -> None:
    rng = np.random.default_rng(1)
    seen, answers = rng.normal(size=(800, 3)), rng.integers(0, 2, 800)
    nothing = probe(evidence(seen, answers))
    assert abs(nothing.value - 0.5) < 3 * (nothing.standard_error or 0)
    between = (np.sort(seen, axis=1)[:, 1] == seen[:, 1]).astype(np.int64)
    assert probe(evidence(seen, between)).value > 0.9, "one number between two others is not linear"


def test_evidence_that_is_equal_everywhere_is_chance() -> None:
    answers = np.random.default_rng(1).integers(0, 2, 200)
    assert probe(evidence(np.zeros((200, 3)), answers)).value == 0.5


def test_a_probe_is_not_asked_about_sources_that_it_learned_from() -> None:
    rng = np.random.default_rng(1)
    names = np.repeat(np.arange(100), 8)
    # The number names the source, and the label is the source's own: only memory could tell.
    learned = probe(evidence(names[:, None] * 1.0, rng.integers(0, 2, 100)[names]))
    assert abs(learned.value - 0.5) < 0.2


def side(value: float, error: float | None = 0.01) -> Side:
    return Side(
        settings="", accuracy=Estimate(value=value, standard_error=error, interval=None, samples=9, sources=3)
    )


@pytest.mark.parametrize(
    ("off", "on", "verdict"),
    [
        (0.9, 0.51, "closed"),
        (0.9, 0.47, "closed"),
        (0.9, 0.53, "open"),
        (0.52, 0.5, "not shown"),
        (0.5, 0.6, "open"),
    ],
)
def test_verdicts_follow_from_errors(off: float, on: float, verdict: str) -> None:
    finding = Finding(
        guard="audio_phase",
        threat="D9",
        artefact="",
        task="",
        data="",
        chance=0.5,
        off=side(off),
        on=side(on, None if on == 0.5 else 0.01),
    )
    assert finding.verdict == verdict


@pytest.mark.parametrize(("known", "failed"), [("", True), ("too short for this pan", False)])
def test_a_form_that_is_known_to_stay_open_is_no_failure(known: str, failed: bool) -> None:
    finding = Finding(
        guard="camera_shift",
        threat="D8",
        artefact="",
        task="",
        data="",
        chance=0.5,
        off=side(0.9),
        on=side(0.6),
        known=known,
    )
    assert finding.verdict == "open" and finding.failed == failed


def test_cases_switch_their_guard_and_nothing_else() -> None:
    for case in CASES:
        assert case.guard in GUARDS and case.world in WORLDS
        on, off = case.task.guards, case.unguarded.guards
        assert on[case.guard] != off[case.guard]
        assert {name for name in on if on[name] != off[name]} == {case.guard}


FAILS_WITHOUT = {
    "audio_phase": "pipelines/guards/test_sound.py::test_both_remedies_treat_classes_alike_and_neither_leaks",
    "block_phase": "pipelines/pretext/test_rotation.py::test_the_grid_of_blocks_tells_the_turn_unless_cuts_start_anywhere",
    "camera_shift": "pipelines/pretext/test_shuffle_and_learn.py::test_camera_shift_hides_a_pan_in_so_far_as_it_is_longer",
    "channel_shift": "pipelines/pretext/test_jigsaw.py::test_channels_are_cut_apart_unless_the_guard_is_off",
    "channel_split": "pipelines/pretext/test_sequence_sorting.py::test_channel_splitting_hides_a_drift_of_colour",
    "colour_jitter": "pipelines/pretext/test_sequence_sorting.py::test_colour_jitter_hides_a_drift_of_exposure",
    "colour_spread": "pipelines/pretext/test_colourisation.py::test_clips_without_colour_are_left_out_unless_the_guard_is_off",
    "content_box": "pipelines/guards/test_windows_of_picture.py::test_without_the_guard_windows_reach_into_the_letterbox",
    "equal_gaps": "pipelines/pretext/test_odd_one_out.py::test_gaps_tell_the_odd_one_unless_they_are_equal",
    "frame_blur": "pipelines/pretext/test_arrow_of_time.py::test_blur_closes_what_no_guard_leaves_open",
    "gop_phase": "pipelines/pretext/test_shuffle_and_learn.py::test_drawn_phases_tell_nothing_of_each_other",
    "key_phase": "pipelines/pretext/test_clip_order.py::test_key_phase_closes_what_no_guard_leaves_open",
    "luminance_only": "pipelines/pretext/test_colourisation.py::test_what_the_tower_sees_says_nothing_of_the_colours_that_it_is_asked_for",
    "motion_window": "pipelines/pretext/test_sequence_sorting.py::test_windows_follow_motion_unless_the_guard_is_off",
    "moving_future": "pipelines/pretext/test_future_frames.py::test_something_moves_after_the_last_seen_frame_unless_the_guard_is_off",
    "overlay_mask": "pipelines/pretext/test_overlays.py::test_a_clock_in_a_corner_is_seen_unless_corners_are_covered",
    "partner_swap": "pipelines/pretext/test_correspondence.py::test_negatives_with_a_sampler_of_their_own_are_told_by_their_sound_alone",
    "quarter_turns": "pipelines/pretext/test_rotation.py::test_turns_change_the_places_of_pixels_and_nothing_else",
    "same_times": "pipelines/pretext/test_shuffle_and_learn.py::test_same_times_make_both_classes_of_the_same_moments",
    "scene_cuts": "pipelines/pretext/test_sequence_sorting.py::test_no_window_reaches_over_a_cut_unless_the_guard_is_off",
    "shifted_sound": "pipelines/pretext/test_misalignment.py::test_each_guard_closes_what_is_open_without_it",
    "silence": "pipelines/pretext/test_correspondence.py::test_sound_is_drawn_where_it_is_not_silent_unless_the_guard_is_off",
    "similar_frames": "pipelines/pretext/test_sequence_sorting.py::test_clips_with_two_frames_alike_are_left_out",
    "stabilise": "pipelines/pretext/test_shuffle_and_learn.py::test_stabilised_clips_stand_still_and_those_that_cannot_have_no_targets",
    "synthetic_camera": "pipelines/pretext/test_shuffle_and_learn.py::test_frames_have_sizes_of_their_own_where_zooms_are_guarded",
    "tile_contrast": "pipelines/pretext/test_jigsaw.py::test_each_tile_is_normalised_unless_the_guard_is_off",
    "tile_gap": "pipelines/pretext/test_jigsaw.py::test_cuts_stay_in_their_cells_and_gaps_vary_unless_the_guard_is_off",
}
"""Guard → a test that fails without it."""


def test_every_guard_has_a_case_or_a_reason_and_a_test_that_fails_without_it() -> None:
    asked = {case.guard for case in CASES}
    assert asked | set(UNASKED) == set(GUARDS) == set(FAILS_WITHOUT) and not asked & set(UNASKED)
    for name in FAILS_WITHOUT.values():
        path, test = name.split("::")
        assert f"def {test}(" in (TESTS / path).read_text(), name


def test_the_page_has_the_row_of_every_case() -> None:
    page = (TESTS.parent / "docs" / "guards.md").read_text()
    for case in CASES:
        assert f"| {case.threat} | `{case.guard}` | {case.artefact} | `{case.task.name}` |" in page, (
            "write the page's table anew with `unreel audit --markdown`"
        )
    assert all(f"| `{guard}` | {reason} |" in page for guard, reason in UNASKED.items())


def test_the_command_tells_an_open_shortcut_from_a_closed_one(
    tiny_catalogue: Catalogue, tmp_path: Path
) -> None:
    found = tmp_path / "audit.json"
    done = CliRunner().invoke(
        app, ["audit", "D9", "--data", str(tiny_catalogue.folder), "--passes", "4", "--json", str(found)]
    )
    first, second = json.loads(found.read_bytes())["findings"]
    assert done.exit_code == int("open" in (first["verdict"], second["verdict"])), done.output
    assert first["guard"] == second["guard"] == "audio_phase"
    assert first["verdict"] == "closed"
    for finding in (first, second):
        off, on = (finding[side]["accuracy"] for side in ("off", "on"))
        assert off["value"] > 0.75 and off["value"] > on["value"] + 0.1 and on["sources"] > 10


def test_an_unknown_guard_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValueError, match=r"audit nothing: allowed are D10, .*audio_phase"):
        CliRunner().invoke(app, ["audit", "nothing"], catch_exceptions=False)
