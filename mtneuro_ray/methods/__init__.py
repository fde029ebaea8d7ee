"""Self-supervised learning of an encoder: BYOL, MYOW and MYOW-m (paper, section 4.1 and Appendix 3.1.2).

BYOL: Grill et al. 2020. MYOW: Azabou et al. 2021; MYOW-m is MYOW with one projector and one predictor for both terms.
"""
