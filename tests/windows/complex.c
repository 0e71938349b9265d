/* C99's complex functions as Microsoft's C runtime exports them, which Wine's lacks and SciPy and NumPy need.
   Exported without the m_ before their names; complex numbers are structures of two, long double is double. */
#include <complex.h>

typedef struct { double part[2]; } D;
typedef struct { float part[2]; } F;

static double complex from_D(D x) { return __builtin_complex(x.part[0], x.part[1]); }
static double complex from_F(F x) { return __builtin_complex((double)x.part[0], (double)x.part[1]); }
static D to_D(double complex z) { return (D){{creal(z), cimag(z)}}; }
static F to_F(double complex z) { return (F){{(float)creal(z), (float)cimag(z)}}; }

#define FOR_EACH_KIND(MAKE, name) MAKE(name, name, D, double) MAKE(name##f, name, F, float) MAKE(name##l, name, D, double)
#define COMPLEX(as, name, kind, real) kind m_##as(kind x) { return to_##kind(name(from_##kind(x))); }
#define REAL(as, name, kind, real) real m_##as(kind x) { return (real)name(from_##kind(x)); }
#define POWER(as, name, kind, real) \
    kind m_##as(kind x, kind y) { return to_##kind(name(from_##kind(x), from_##kind(y))); }

FOR_EACH_KIND(COMPLEX, cexp)
FOR_EACH_KIND(COMPLEX, clog)
FOR_EACH_KIND(COMPLEX, csqrt)
FOR_EACH_KIND(COMPLEX, csin)
FOR_EACH_KIND(COMPLEX, ccos)
FOR_EACH_KIND(COMPLEX, ctan)
FOR_EACH_KIND(COMPLEX, csinh)
FOR_EACH_KIND(COMPLEX, ccosh)
FOR_EACH_KIND(COMPLEX, ctanh)
FOR_EACH_KIND(COMPLEX, casin)
FOR_EACH_KIND(COMPLEX, cacos)
FOR_EACH_KIND(COMPLEX, catan)
FOR_EACH_KIND(COMPLEX, casinh)
FOR_EACH_KIND(COMPLEX, cacosh)
FOR_EACH_KIND(COMPLEX, catanh)
FOR_EACH_KIND(COMPLEX, cproj)
FOR_EACH_KIND(COMPLEX, conj)
FOR_EACH_KIND(REAL, cabs)
FOR_EACH_KIND(REAL, carg)
FOR_EACH_KIND(REAL, creal)
FOR_EACH_KIND(REAL, cimag)
FOR_EACH_KIND(POWER, cpow)

D m__Cbuild(double real, double imaginary) { return (D){{real, imaginary}}; }
F m__FCbuild(float real, float imaginary) { return (F){{real, imaginary}}; }
