// A reader looks for a chapter first, then for the pages of the book, then for functions and checks.
var Scorer = {
  score: ([docname, , , , score]) => score + (docname.startsWith("notebooks/") ? 40 : docname.startsWith("book/api/") ? -10 : 20),
  objNameMatch: 11,
  objPartialMatch: 6,
  objPrio: { 0: 5, 1: 0, 2: -15 },
  objPrioDefault: 0,
  title: 15,
  partialTitle: 7,
  term: 5,
  partialTerm: 2,
};
