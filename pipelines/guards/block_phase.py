"""Cuts that start anywhere within a codec's blocks, so that the grid of blocks does not tell how a picture was turned.

JPEG and H.264 code blocks of 8 or 16 pixels. A cut whose side is no multiple of 8 and that starts at a block turns the
grid into another phase with every quarter turn; where all phases are equally likely, they are so at every turn.

What is left is JPEG's own: its usual table quantises rows and columns differently (Annex K of ITU-T T.81), which tells
lying from standing pictures. Of grey noise with nothing else to see, a linear probe of the steps between neighbouring
pixels finds the turn (chance .25, n = 1,600) in 1.00 of cases without the guard and .40 with it at quality 20, in .48
and .26 at quality 50, and at chance with a flat table, which is what the builder's H.264 has.
"""

import numpy as np
from numpy.typing import NDArray

from unreel.pipelines.draws import Draws
from unreel.pipelines.media import MediaBatch

__all__ = ["BLOCK", "block_offsets"]

BLOCK = 8
"""Side of the transform's blocks, in pixels of the stored picture."""


def block_offsets(
    draws: Draws, media: MediaBatch, *, slack: int, anywhere: bool
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where each row's window is cut, (down, right), each i64 `[B]` in [0, slack]; a slack of 7 or more is needed for
    phases to be equally likely.

    With `anywhere` False cuts start where a block of the stored picture starts, as far as `slack` allows.
    """
    # As many places as there are whole blocks of them: one more would make its phase more likely than others.
    places = (slack + 1) // BLOCK * BLOCK if slack + 1 >= BLOCK and anywhere else slack + 1
    drawn = draws.integers("cut", 0, places, 2)
    if anywhere:
        return drawn[:, 0], drawn[:, 1]
    # The window itself starts anywhere: the first block inside it is a few pixels away.
    into = np.stack([media.fact("window_top"), media.fact("window_left")], axis=1).astype(np.int64)
    first = -into % BLOCK
    blocks = np.maximum(0, (slack - first) // BLOCK)
    at_block = np.minimum(first + np.minimum(drawn // BLOCK, blocks) * BLOCK, slack)
    return at_block[:, 0], at_block[:, 1]
