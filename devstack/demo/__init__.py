"""The demo: the real trace and all that goes wrong in real life, fed in, recounted from the file, and compared.

trace ──plan──► sendings ──send──► stack ──wait──► found ┐
  └──────────────recount──────────────────────► expected ┴──compare──► report
"""
