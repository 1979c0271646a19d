"""Pure figure functions: data in, figure out. No query, no clock, no component.

Colours are names (`@busy`): the page's style sheet has the values, for both themes, and the
browser puts them in (`assets/05-page.js`). So one figure serves every viewer.
"""
