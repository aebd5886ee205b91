"""Research scripts on the public interface; installed, `python -m scoresde.experiments.NAME`.

ablate_samplers     samplers against network evaluations
likelihood_sweep    what the accuracy of a likelihood costs
ablation_results    the table and the figure of the first
gallery             the pictures of docs/gallery.md
cells               what the first two share: sweeps that are kept across interruptions
"""
