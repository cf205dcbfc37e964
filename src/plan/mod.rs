//! What must be built now, as a graph, and as pipelines of the engines that people run.
