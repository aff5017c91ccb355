"""Successive halving over rungs, decided from results alone (Jamieson & Talwalkar 2016, arXiv
1502.07943; promotion as results arrive: Li et al. 2020, arXiv 1810.05934; brackets: Li et al. 2018,
arXiv 1603.06560).

`decision.decide` says who goes on, by a ladder or by brackets; `audits.audit` says how often that
was wrong. Pure: the same entries give the same decision, in whatever process it is made.
"""
