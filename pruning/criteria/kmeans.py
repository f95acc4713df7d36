"""KMeans filter pruning."""

from __future__ import annotations

import numpy as np
from sklearn.cluster import KMeans

from pruning.criteria.base import Channels, Criterion
from pruning.errors import CriterionError


class KMeansFilters(Criterion):
    """Cluster the filters into as many clusters as channels stay and keep the filter nearest each centroid.

    Similar filters fall into one cluster, of which one stays. Where several layers make the channels
    together, their filters are clustered side by side, as one.

    Source: k-means (Lloyd 1982) as in scikit-learn, applied to filters.
    """

    num_starts = 3
    max_iterations = 100
    tolerance = 1e-4

    def select(self, channels: Channels, num_keep: int) -> np.ndarray:
        filters = np.asarray(channels.weights, dtype=np.float64)
        if not np.all(np.isfinite(filters)):
            raise CriterionError(f"The filters of group {channels.name!r} hold NaN or infinity.", field="model")
        distinct = np.unique(filters, axis=0, return_index=True)[1]
        num_clusters = min(num_keep, len(distinct))
        num_features = filters.shape[1]
        filters = _in_fewest_coordinates(filters)
        # scikit-learn multiplies its tolerance by the mean variance of a coordinate: the same sum over fewer of them.
        tolerance = self.tolerance * filters.shape[1] / num_features
        state = int(channels.generator().integers(2**31))
        kmeans = KMeans(
            num_clusters, n_init=self.num_starts, max_iter=self.max_iterations, tol=tolerance, random_state=state
        )
        clusters = kmeans.fit_predict(filters)
        distances = np.linalg.norm(filters - kmeans.cluster_centers_[clusters], axis=1)
        nearest = [
            members[_first_least(distances[members])]
            for members in (np.flatnonzero(clusters == cluster) for cluster in range(num_clusters))
            if len(members)
        ]
        # Fewer clusters than channels to keep: equal filters. Fill up with the first of the others.
        others = np.setdiff1d(np.arange(channels.num_channels), nearest)
        return np.concatenate([nearest, others[: num_keep - len(nearest)]]).astype(np.int64)


def _first_least(distances: np.ndarray) -> int:
    """Return the first of the least distances: both members of a pair are equally near its centre, but for rounding."""
    return int(np.argmax(distances <= distances.min() * (1 + 1e-9)))


def _in_fewest_coordinates(filters: np.ndarray) -> np.ndarray:
    """Return points with the same distances from each other, in at most as many dimensions as there are points.

    k-means sees nothing but distances, and a wide layer has far more weights in a filter than filters. With filters as
    the columns of `Q R`, those of `R` are the same points in coordinates along the columns of `Q`.
    """
    num_filters, num_features = filters.shape
    return filters if num_features <= num_filters else np.asarray(np.linalg.qr(filters.T, mode="r")).T
