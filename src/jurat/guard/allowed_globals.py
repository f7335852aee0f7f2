"""The only names that a pickled model may refer to: what scikit-learn, numpy and scipy need to put a fitted model back together.

A name is here if calling it with *any* arguments, or giving an instance of it *any* state, does no more than build a
value. So nothing here opens, imports, evaluates or calls what it is given; no function that predicts with a callable
(`FunctionTransformer`, vectorizers with a tokenizer) is here. What is missing is refused: add it with a test, after
reading its source. Knows nothing of how pickles are read (`pickles`).
"""

from __future__ import annotations

from typing import Final

_TABLE: Final = """
builtins                                      complex frozenset set slice
collections                                   OrderedDict defaultdict
numpy                                         bool dtype float32 float64 int32 int64 ndarray
numpy._core.multiarray                        _reconstruct scalar
numpy._core.numeric                           _frombuffer
numpy.random._mt19937                         MT19937
numpy.random._pcg64                           PCG64
numpy.random._pickle                          __bit_generator_ctor __generator_ctor __randomstate_ctor
numpy.random.bit_generator                    SeedSequence __pyx_unpickle_SeedSequence
scipy.sparse._csr                             csr_array csr_matrix
sklearn._loss._loss                           CyHalfBinomialLoss CyHalfMultinomialLoss CyHalfPoissonLoss CyHalfSquaredError
sklearn._loss.link                            IdentityLink Interval LogLink LogitLink MultinomialLogit
sklearn._loss.loss                            HalfBinomialLoss HalfMultinomialLoss HalfPoissonLoss HalfSquaredError
sklearn.calibration                           CalibratedClassifierCV _CalibratedClassifier _SigmoidCalibration
sklearn.cluster._kmeans                       KMeans MiniBatchKMeans
sklearn.compose._column_transformer           ColumnTransformer
sklearn.decomposition._pca                    PCA
sklearn.decomposition._truncated_svd          TruncatedSVD
sklearn.discriminant_analysis                 LinearDiscriminantAnalysis QuadraticDiscriminantAnalysis
sklearn.dummy                                 DummyClassifier DummyRegressor
sklearn.ensemble._bagging                     BaggingClassifier BaggingRegressor
sklearn.ensemble._forest                      ExtraTreesClassifier ExtraTreesRegressor RandomForestClassifier RandomForestRegressor
sklearn.ensemble._gb                          GradientBoostingClassifier GradientBoostingRegressor
sklearn.ensemble._hist_gradient_boosting.binning             _BinMapper
sklearn.ensemble._hist_gradient_boosting.gradient_boosting   HistGradientBoostingClassifier HistGradientBoostingRegressor
sklearn.ensemble._hist_gradient_boosting.predictor           TreePredictor
sklearn.ensemble._iforest                     IsolationForest
sklearn.ensemble._stacking                    StackingClassifier StackingRegressor
sklearn.ensemble._voting                      VotingClassifier VotingRegressor
sklearn.ensemble._weight_boosting             AdaBoostClassifier AdaBoostRegressor
sklearn.feature_selection._univariate_selection              SelectKBest SelectPercentile f_classif
sklearn.feature_selection._variance_threshold                VarianceThreshold
sklearn.impute._base                          MissingIndicator SimpleImputer
sklearn.isotonic                              IsotonicRegression
sklearn.linear_model._base                    LinearRegression
sklearn.linear_model._bayes                   BayesianRidge
sklearn.linear_model._coordinate_descent      ElasticNet ElasticNetCV Lasso LassoCV
sklearn.linear_model._glm.glm                 GammaRegressor PoissonRegressor
sklearn.linear_model._logistic                LogisticRegression LogisticRegressionCV
sklearn.linear_model._ridge                   Ridge RidgeCV RidgeClassifier RidgeClassifierCV
sklearn.linear_model._sgd_fast                Hinge
sklearn.linear_model._stochastic_gradient     SGDClassifier SGDRegressor
sklearn.metrics._dist_metrics                 EuclideanDistance64 newObj
sklearn.naive_bayes                           BernoulliNB CategoricalNB ComplementNB GaussianNB MultinomialNB
sklearn.neighbors._classification             KNeighborsClassifier
sklearn.neighbors._kd_tree                    KDTree newObj
sklearn.neighbors._regression                 KNeighborsRegressor
sklearn.neural_network._multilayer_perceptron MLPClassifier MLPRegressor
sklearn.neural_network._stochastic_optimizers AdamOptimizer SGDOptimizer
sklearn.pipeline                              FeatureUnion Pipeline
sklearn.preprocessing._data                   Binarizer MaxAbsScaler MinMaxScaler Normalizer PowerTransformer QuantileTransformer RobustScaler StandardScaler
sklearn.preprocessing._discretization         KBinsDiscretizer
sklearn.preprocessing._encoders               OneHotEncoder OrdinalEncoder
sklearn.preprocessing._label                  LabelBinarizer LabelEncoder
sklearn.preprocessing._polynomial             PolynomialFeatures
sklearn.preprocessing._target_encoder         TargetEncoder
sklearn.svm._classes                          LinearSVC LinearSVR NuSVC NuSVR SVC SVR
sklearn.tree._classes                         DecisionTreeClassifier DecisionTreeRegressor ExtraTreeClassifier ExtraTreeRegressor
sklearn.tree._tree                            Tree
sklearn.utils._bunch                          Bunch
"""  # noqa: E501 - one module a line

ALLOWED: Final = frozenset((module, name) for module, *names in map(str.split, _TABLE.strip().splitlines()) for name in names)
