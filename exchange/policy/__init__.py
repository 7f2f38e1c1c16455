"""The sharing rules: what a label says, what an agreement permits, and who may therefore receive a report.

==========================  ==============================================================================
model, terms                labels and releases, agreements and views, as values
codec, shape, binding       their bytes; the shapes of fields; what the relay reads of a label
text, label_fields          labels as people write them (label_yaml writes them out)
agreement_text, agreement   agreements as people write them; the view derived from the text; the commitment
strict_yaml, fields         reading YAML strictly, with the line of every error
communities/                groups with epochs and rosters, and whom they reach
decision, question          what a decision is made of and made from
decide, steps, audience     the decision
onward, consent             its step 8: passing on what others originated
holding, use                what a report is held under, and for what it is handed out
record, obligations_record  decisions written down (strict_json)
explain, remedies           sentences for people
readers                     who may read it inside a partner, and the rule of a product
==========================  ==============================================================================

Pure. Specification: docs/spec/policy.md.
"""
