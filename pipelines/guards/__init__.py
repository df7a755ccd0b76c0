"""Guards: each closes one way to solve a pretext task without looking at its content.

`GUARDS` names them; a task's fields switch them, its `guards` property says how they stand, and its facts hold what
they decided, so that an audit can give a probe the artefact alone. High pretext accuracy proves nothing by itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from unreel.pipelines.guards.audio_phase import place_sound
from unreel.pipelines.guards.block_phase import block_offsets
from unreel.pipelines.guards.camera_shift import draw_offsets
from unreel.pipelines.guards.channel_shift import draw_channel_shift
from unreel.pipelines.guards.channel_split import split_channels
from unreel.pipelines.guards.colour_jitter import Jitter, draw_colours
from unreel.pipelines.guards.content_box import place_window
from unreel.pipelines.guards.equal_gaps import straight_walks, turning_walks, walkable_gaps
from unreel.pipelines.guards.frame_blur import draw_blur
from unreel.pipelines.guards.key_phase import whole_step
from unreel.pipelines.guards.motion_window import choose_start
from unreel.pipelines.guards.overlays import cover
from unreel.pipelines.guards.partner_swap import Roles, Swap, draw_roles, is_negative, role_of, swap_partners
from unreel.pipelines.guards.scene_cuts import uncut_starts
from unreel.pipelines.guards.shifted_sound import Moments, choose_moment, choose_pair, moments_of
from unreel.pipelines.guards.silence import sounding_share
from unreel.pipelines.guards.similar_frames import frame_difference, nearest_difference, step_difference
from unreel.pipelines.guards.synthetic_camera import draw_pan, draw_zoom
from unreel.pipelines.guards.tile_contrast import standardise_tiles
from unreel.pipelines.guards.tile_gap import place_tiles

__all__ = [
    "GUARDS",
    "Guard",
    "Jitter",
    "Moments",
    "Roles",
    "Swap",
    "block_offsets",
    "choose_moment",
    "choose_pair",
    "choose_start",
    "cover",
    "draw_blur",
    "draw_channel_shift",
    "draw_colours",
    "draw_offsets",
    "draw_pan",
    "draw_roles",
    "draw_zoom",
    "frame_difference",
    "is_negative",
    "moments_of",
    "nearest_difference",
    "place_sound",
    "place_tiles",
    "place_window",
    "role_of",
    "sounding_share",
    "split_channels",
    "standardise_tiles",
    "step_difference",
    "straight_walks",
    "swap_partners",
    "turning_walks",
    "uncut_starts",
    "walkable_gaps",
    "whole_step",
]


@dataclass(frozen=True, slots=True)
class Guard:
    """One guard.

    Attributes:
        cue: what gives the label away without it.
        remedy: what the guard does.
    """

    cue: str
    remedy: str


GUARDS: Final[Mapping[str, Guard]] = {
    "audio_phase": Guard(
        "Sound that starts on a frame's time carries traces of the frame grid, and only positives start there.",
        "Both classes start on the frame grid, or both are shifted at random.",
    ),
    "block_phase": Guard(
        "A codec's grid of blocks is turned with the picture, and its phase tells by how much.",
        "Cuts start anywhere within a block.",
    ),
    "camera_shift": Guard(
        "A slow pan or zoom tells the order of frames whatever they show.",
        "Each frame is cut at its own place, by several times what the camera moves.",
    ),
    "channel_shift": Guard(
        "Colour fringes point away from the middle of the lens and tell where a tile was.",
        "Red, green and blue of each tile are cut a pixel or two apart.",
    ),
    "channel_split": Guard(
        "Colours drift over time, and lenses shift them against each other.",
        "Each frame shows one of its channels, drawn for itself, as grey.",
    ),
    "colour_jitter": Guard(
        "Points keep their colours along a motion, so matching pixels finds the order without objects.",
        "Each frame changes its colours on its own, while geometry is shared.",
    ),
    "colour_spread": Guard(
        "A clip without colours has nothing to follow: its clusters divide noise.",
        "Clips whose colours lie close together take no part in the loss.",
    ),
    "content_box": Guard(
        "Black bars carry codec noise that tells the direction of time.",
        "Windows lie inside the picture without its letterbox.",
    ),
    "frame_blur": Guard(
        "A codec refines a still background from frame to frame, so sharpness tells the time of a frame.",
        "Each frame is blurred by a little of its own.",
    ),
    "gop_phase": Guard(
        "Frames a fixed step apart lie a fixed step apart in their GOPs, and codecs change with the age of a key frame.",
        "The distance of each frame from its key frame is drawn, whatever the label.",
    ),
    "key_phase": Guard(
        "Quality falls from a key frame to the next, so a frame's place between them tells which of a few it is.",
        "What is to be put in order starts at one place between key frames.",
    ),
    "luminance_only": Guard(
        "Whoever sees colours copies equal ones and needs not know what they belong to.",
        "Towers see grey; colours are for labels alone.",
    ),
    "equal_gaps": Guard(
        "Shuffled frames are further from their neighbours, which a difference of frames shows at once.",
        "In and out of order, frames are as far apart; only the direction of some steps differs.",
    ),
    "motion_window": Guard(
        "Frames of a still stretch have no order, so their labels teach chance habits.",
        "Windows are drawn in proportion to the motion that the sidecar states.",
    ),
    "moving_future": Guard(
        "Where nothing moves, a copy of the last frame is the future, and a score says nothing.",
        "Windows count only if something moves after the last frame that is seen.",
    ),
    "overlay_mask": Guard(
        "A clock in a corner tells the order of frames, and what stands still tells where each cut lies.",
        "Corners and the overlays that sidecars name are covered, at the same places in all frames of a clip.",
    ),
    "partner_swap": Guard(
        "A negative's sound differs in level, silence or codec when another sampler drew it.",
        "Negatives swap the sounds that positives would have had, never within one source.",
    ),
    "quarter_turns": Guard(
        "Interpolation and empty corners tell by how much a picture was turned.",
        "Only quarter turns of a square, after all scaling: pixels change places and nothing else.",
    ),
    "same_times": Guard(
        "Negatives that show other moments than positives differ in their times and gaps, whatever happens in them.",
        "Both classes show the same moments, in another order.",
    ),
    "scene_cuts": Guard(
        "A cut between two frames tells that they are far apart.",
        "No window reaches over a cut.",
    ),
    "shifted_sound": Guard(
        "A sound that always comes from later in the file is told by its place: fades and endings lie at the ends.",
        "Moments are drawn as pairs, both ways, from all that fit; positives take the moments of such pairs too.",
    ),
    "silence": Guard(
        "Silence fits every picture, so a silent pair has no label.",
        "Sound is drawn only where enough of it is not silent.",
    ),
    "similar_frames": Guard(
        "A middle frame that looks like the outer one makes a negative out of a positive.",
        "Such clips take no part in the loss, whatever their label.",
    ),
    "stabilise": Guard(
        "A slow pan or zoom tells the order of frames whatever they show.",
        "The camera's path is measured on the decoded frames, and frames are cut where the scene has gone.",
    ),
    "synthetic_camera": Guard(
        "A slow zoom tells the order of frames, and cuts of one size do not hide it.",
        "Each frame is shown at its own size, by several times what the camera zooms.",
    ),
    "tile_contrast": Guard(
        "Vignetting and lighting make a tile's brightness tell where it was.",
        "Each channel of each tile has mean 0 and variance 1.",
    ),
    "tile_gap": Guard(
        "Lines and textures run on from one tile to its neighbour.",
        "Tiles are cut from anywhere in their cells.",
    ),
}
"""Guard → the cue it removes and how; one file each."""
