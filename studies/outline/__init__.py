"""The network that finds the fetal head: training, measures, and images prepared fold by fold."""
