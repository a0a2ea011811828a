"""The demo: two real data sets, traced, recorded and analysed. No network, a minute at most.

digits   scikit-learn's handwritten digits: three classifiers on Ray, and a judge that chooses among them
raters   ten people's ratings of words (vaderSentiment) against a dictionary of sentiments (afinn)
"""
