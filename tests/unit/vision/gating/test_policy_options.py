"""Options of a request are checked against their bounds."""

from __future__ import annotations

import pytest
from hocket.vision.v1 import vision_pb2 as pb

from hocket.chassis.errors import InvalidArgument
from services.vision.gating.policy_options import BOUNDS, NEVER_S, PolicyOptions, options_for
from services.vision.gating.verdict import Policy
from services.vision.settings import Settings


def test_hash_policies_refresh_only_on_request():
    assert options_for(Policy.CELLS, PolicyOptions(), {}) == PolicyOptions()
    assert options_for(Policy.PHASH, PolicyOptions(), {}).refresh_interval_s == NEVER_S
    assert options_for(Policy.PHASH, PolicyOptions(), {"refresh_interval_s": 5}).refresh_interval_s == 5


def test_integer_options_stay_integers():
    changed = options_for(Policy.CELLS, PolicyOptions(), {"changed_cells_min": 4.0, "busy_interval_s": 1})
    assert (changed.changed_cells_min, type(changed.changed_cells_min), changed.busy_interval_s) == (4, int, 1)


@pytest.mark.parametrize("name", BOUNDS)
def test_an_option_out_of_bounds_is_refused_by_field(name):
    least, greatest = BOUNDS[name]
    field = name if name in pb.PolicyOptions.DESCRIPTOR.fields_by_name else name.removesuffix("_s")
    for value in (least - 1, greatest + 1, float("nan")):
        with pytest.raises(InvalidArgument) as caught:
            options_for(Policy.CELLS, PolicyOptions(), {name: value})
        assert list(caught.value.fields) == [f"config.options.{field}"]


def test_overridable_options_match_the_proto():
    timed = {f.name for f in pb.PolicyOptions.DESCRIPTOR.fields if f.message_type is not None}
    named = {f"{f.name}_s" if f.name in timed else f.name for f in pb.PolicyOptions.DESCRIPTOR.fields}
    assert named == set(BOUNDS)


def test_settings_have_the_defaults_of_the_options():
    assert Settings().policy_options() == PolicyOptions()
