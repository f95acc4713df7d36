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

    def select(self, channels: Channels, num_keep: int) -> np.ndarray:
        filters = np.asarray(channels.weights, dtype=np.float64)
        if not np.all(np.isfinite(filters)):
            raise CriterionError(f"The filters of group {channels.name!r} hold NaN or infinity.", field="model")
        distinct = np.unique(filters, axis=0, return_index=True)[1]
        num_clusters = min(num_keep, len(distinct))
        state = int(channels.generator().integers(2**31))
        kmeans = KMeans(num_clusters, n_init=self.num_starts, max_iter=self.max_iterations, random_state=state)
        clusters = kmeans.fit_predict(filters)
        distances = np.linalg.norm(filters - kmeans.cluster_centers_[clusters], axis=1)
        nearest = [
            members[np.argmin(distances[members])]
            for members in (np.flatnonzero(clusters == cluster) for cluster in range(num_clusters))
            if len(members)
        ]
        # Fewer clusters than channels to keep: equal filters. Fill up with the first of the others.
        others = np.setdiff1d(np.arange(channels.num_channels), nearest)
        return np.concatenate([nearest, others[: num_keep - len(nearest)]]).astype(np.int64)
