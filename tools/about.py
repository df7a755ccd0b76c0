"""What each pretext task asks, in words for someone who never heard of it."""

from dataclasses import dataclass
from typing import Final

__all__ = ["ABOUT", "About", "about"]


@dataclass(frozen=True, slots=True)
class About:
    """A task for someone who never heard of it.

    Attributes:
        title: its name in words.
        question: what is asked, in a sentence.
        reason: why an answer takes some understanding, in a sentence.
        twin: what remains of the question when the objects are gone.
    """

    title: str
    question: str
    reason: str
    twin: str


ABOUT: Final[dict[str, About]] = {
    "shuffle_and_learn": About(
        title="Shuffle and learn",
        question="Here are three frames of one clip: was the middle one filmed between the other two?",
        reason="Whoever answers has to see how things move: where they are, how high, in which phase of a swing.",
        twin="Without the moving objects there is no order left to see, so that only guessing remains.",
    ),
    "rotation": About(
        title="Rotation",
        question="Here is a picture: by how many quarter turns was it turned?",
        reason="Whoever answers has to know which way up things are, and so what they are.",
        twin="Without the objects only the background can tell up from down.",
    ),
    "jigsaw": About(
        title="Jigsaw",
        question="Here are nine tiles of a picture: in which of the known orders were they laid?",
        reason="Whoever answers has to know which parts belong together, and where in the whole each of them is.",
        twin="Without the objects only the background can tell a tile's place.",
    ),
    "colourisation": About(
        title="Tracking by colourising video",
        question="Here are three frames in colour and a later one in grey: from where does each place get its colour?",
        reason="Whoever answers has to find the same things again where they are now, which is tracking.",
        twin="Without the moving objects every colour stays where it was, so that nothing is better than copying.",
    ),
    "sequence_sorting": About(
        title="Sequence sorting",
        question="Here are four shuffled frames of one clip: in which order were they filmed, forwards or backwards?",
        reason="Whoever answers has to see how things move and change, and which of two moments lies nearer to a third.",
        twin="Without the moving objects the four frames look alike, so that only guessing remains.",
    ),
    "odd_one_out": About(
        title="Odd one out",
        question="Here are several short sequences of one clip: which one is out of order?",
        reason="Whoever answers has to see how things move on, and where a movement turns back that should not.",
        twin="Without the moving objects nothing is out of order, so that only guessing remains.",
    ),
    "future_frames": About(
        title="Future frames",
        question="Here are some frames of a clip: what will the next ones look like?",
        reason="Whoever answers has to know what moves and where to, beyond copying what is there.",
        twin="Without the moving objects the last frame is the answer, so that nothing is better than copying it.",
    ),
    "dense_prediction": About(
        title="Dense predictive coding",
        question="Here is how a clip begins: which of all these blocks, steps and places comes next, and where?",
        reason="Whoever answers has to know how things move on, without painting a single pixel of it.",
        twin="Without the moving objects places and clips still differ, but one step looks like the next.",
    ),
    "correspondence": About(
        title="Audio-visual correspondence",
        question="Here are a frame and a second of sound: were they recorded together?",
        reason="Whoever answers has to know what things look like, what they sound like, and which go together.",
        twin="Without the objects the sound has no visible source, so that only guessing remains.",
    ),
    "clip_order": About(
        title="Clip order",
        question="Here are three short clips of one video: in which order were they filmed?",
        reason="Whoever answers has to see how each clip moves, and where that leads.",
        twin="Without the moving objects all clips look alike, so that only guessing remains.",
    ),
    "time_contrast": About(
        title="Time contrast",
        question="Here are a frame and some others of its clip: which one was filmed at nearly the same time?",
        reason="Whoever answers has to see in which state of its motion a thing is, whatever light and camera do.",
        twin="Without the moving objects all frames of a clip look alike, so that only guessing remains.",
    ),
    "arrow_of_time": About(
        title="The arrow of time",
        question="Here is a clip: does it run forwards or backwards?",
        reason="Whoever answers has to know what things do by themselves: they fall, bounce lower, and grow.",
        twin="Without the moving objects nothing runs either way, so that only guessing remains.",
    ),
    "misalignment": About(
        title="Misalignment",
        question="Here are a few seconds of a clip and a sound of the same recording: do they belong to the same moment?",
        reason="Whoever answers has to follow what happens, and to hear it happen at the same time.",
        twin="Without the objects nothing that is heard can be seen to happen, so that only guessing remains.",
    ),
    "sync_offset": About(
        title="Sync offset",
        question="Here are moments of a clip and the sound around them: by how much is the sound early or late?",
        reason="Whoever answers has to see when something happens, and to hear when it happens, to a frame.",
        twin="Without the objects nothing that is heard can be seen to happen, so that only guessing remains.",
    ),
    "synchronisation": About(
        title="Audio-visual synchronisation",
        question="Here are a short clip and as much sound: do they belong to the same moment of the same recording?",
        reason="Whoever answers has to see the events that are heard, and when they happen.",
        twin="Without the objects nothing that is heard can be seen to happen, so that only guessing remains.",
    ),
}
"""By the task's name."""


def about(task: str) -> About:
    """What is known of a task; of one that is not listed, its name."""
    return ABOUT.get(task, About(task.replace("_", " ").capitalize(), "", "", ""))
