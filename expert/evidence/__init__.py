"""Evidence in words and numbers: what a patch holds, how that compares, and a summary.

`tissue_norms` has the fractions of fluid, grey and white matter of a patch by age, `patch_evidence`
joins them with regions and contributions, and `wording` puts them into words.
"""
