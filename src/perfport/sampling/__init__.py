"""Which configurations to measure: random, designed, and guided by what a source taught."""

__all__ = ["BUILTIN"]

BUILTIN = {
    "random": "perfport.sampling.random:SimpleRandom",
    "with_replacement": "perfport.sampling.random:WithReplacement",
    "systematic": "perfport.sampling.random:Systematic",
    "stratified": "perfport.sampling.random:Stratified",
    "k_means": "perfport.sampling.random:KMeansStages",
    "latin_hypercube": "perfport.sampling.designs:LatinHypercube",
    "sobol": "perfport.sampling.designs:Sobol",
    "full_factorial": "perfport.sampling.designs:FullFactorial",
    "fractional_factorial": "perfport.sampling.designs:FractionalFactorial",
    "plackett_burman": "perfport.sampling.designs:PlackettBurman",
    "box_behnken": "perfport.sampling.designs:BoxBehnken",
    "central_composite": "perfport.sampling.designs:CentralComposite",
    "option_wise": "perfport.sampling.designs:OptionWise",
    "pairwise": "perfport.sampling.covering:TWise",
    "d_optimal": "perfport.sampling.optimal:DOptimal",
    "distance_based": "perfport.sampling.distance:DistanceBased",
    "guided": "perfport.sampling.guided:Guided",
}
