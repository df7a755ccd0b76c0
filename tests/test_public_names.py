"""The public names of each package, pinned: a name that goes or comes is a decision, seen in a diff."""

import importlib

import pytest

PUBLIC = {
    "unreel.shards": (
        """Catalogue EncodedSample Member Reader SampleRow ShardIndex ShardWriter Sidecar
        compile_catalogue identity_text"""
    ),
    "unreel.shards.engines": ("""Engine InlineEngine LocalEngine supervise"""),
    "unreel.pipelines": (
        """Draws FailurePolicy Loader MediaBatch Mixture Needs Order Plan PretextBatch PretextTask
        SampleFailure Selection Span Step Window select"""
    ),
    "unreel.pipelines.decode": (
        """BACKENDS Choice DecodeBackend Decoded available choose_backend make_backend"""
    ),
    "unreel.pipelines.guards": (
        """GUARDS Guard Jitter Moments Roles Swap block_offsets choose_moment choose_pair
        choose_start cover draw_blur draw_channel_shift draw_colours draw_offsets draw_pan draw_roles draw_zoom
        frame_difference is_negative moments_of nearest_difference place_sound place_tiles
        place_window role_of sounding_share split_channels standardise_tiles step_difference
        straight_walks swap_partners turning_walks uncut_starts walkable_gaps whole_step"""
    ),
    "unreel.pipelines.ops": (
        """Colour FEATURES Pictures PlanarYuv Sounds Views crop denormalise flip_rows log_mel log_spectrogram
        recolour render resize show"""
    ),
    "unreel.pipelines.pretext": (
        """ArrowOfTime ClipOrder Colourisation Correspondence DensePrediction FutureFrames Jigsaw
        Look Misalignment Needs OddOneOut PretextBatch PretextTask Rotation SequenceSorting
        ShuffleAndLearn SyncOffset Synchronisation TASKS TimeContrast TrainableTask make_task"""
    ),
    "unreel.models.evaluation": (
        """Encoder Estimate Examples Features Finding Frozen PretextScore Thumbnail auc
        balanced_accuracy bootstrap calibrate classify difference encode evaluate evaluate_readouts
        find_knowledge knn_predict low_level r_squared regress still_batches teach_objective"""
    ),
    "unreel.models.export": (
        """SavedTower largest_difference load_tower save_tower write_onnx write_program"""
    ),
    "unreel.models.objectives": (
        """ArrowOfTime ClipOrder Colourisation Correspondence Decisions DensePrediction Errors
        FutureFrames Jigsaw METRICS Misalignment OBJECTIVES Objective OddOneOut Outcome Rankings
        Rotation SequenceSorting ShuffleAndLearn SyncOffset Synchronisation TimeContrast"""
    ),
    "unreel.models.towers": (
        """InputSpec STANDING StandingTower TOWERS Tower build_tower tower_builder trunk_of"""
    ),
    "unreel.models.training": (
        """LoadedRun PretextModel Ranks RunConfig RunFolder Trainer TrainingResult build_model build_task build_tasks
        joined_ranks load_run"""
    ),
}
"""Package → its public names."""


@pytest.mark.parametrize("package", PUBLIC)
def test_public_names(package: str) -> None:
    module = importlib.import_module(package)
    assert sorted(module.__all__) == PUBLIC[package].split()
    assert all(hasattr(module, name) for name in module.__all__)
