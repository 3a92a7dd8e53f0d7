"""Words on a cluster: two workers of Dask encode what one process would."""

import joblib
import numpy as np
import pytest

import minibag as mb
from minibag.words import BagEncoder, DenseSIFT, HistogramEncoder


def test_a_dask_cluster_gives_the_same_vectors():
    distributed = pytest.importorskip("distributed")
    critters = mb.critters("train", 50, size=32)
    bag = BagEncoder(
        DenseSIFT(8), HistogramEncoder(12), batch_size=8, max_descriptors=500, max_images=30
    )
    alone = bag.fit_transform(critters)
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
        joblib.parallel_config("dask"),
    ):
        result = bag.fit_transform(critters)
        ran = client.run(lambda dask_worker: dask_worker.state.transition_counter)
    assert len(ran) == 2
    assert all(ran.values()), "a worker had nothing to do"
    np.testing.assert_array_equal(result, alone)
