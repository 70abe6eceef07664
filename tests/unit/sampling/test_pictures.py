import numpy as np
import pytest
from PIL import Image

from twostage.sampling.pictures import tiled, write_png


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("number", "shape"), [(1, (5, 7)), (2, (5, 16)), (5, (12, 25)), (9, (19, 25))])
def test_tiles_lie_row_by_row_with_white_between(tmp_path, number, shape, channels):
    images = np.random.default_rng(0).integers(0, 255, (number, 5, 7, channels)).astype(np.uint8)
    write_png(tmp_path / "grid.png", tiled(images))
    sheet = np.asarray(Image.open(tmp_path / "grid.png")).reshape(*shape, channels)
    columns = (shape[1] + 2) // 9
    for n in range(number):
        top, left = n // columns * 7, n % columns * 9
        assert np.array_equal(sheet[top : top + 5, left : left + 7], images[n])
        sheet = sheet.copy()
        sheet[top : top + 5, left : left + 7] = 255
    assert (sheet == 255).all()
