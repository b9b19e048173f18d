/* The loops of impls/loops.py, over the messages of docs/protocol.md. Every sum runs in the order of the
   original, so that its bits are the same. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LAYERS = 100, LINE = 1 << 16 };
static char line[LINE], g[LAYERS], loss;         /* the second letter of each activation, the first of the loss */
static int L, n[LAYERS + 1], m, M, start, pass;  /* the current batch is the m samples from start */
static double *given, *kept;                     /* what came with the problem, and what is computed from it */
static double *w[LAYERS], *b[LAYERS], *X, *Y, *dw[LAYERS], *db[LAYERS], *a[LAYERS + 1], *dz[LAYERS + 1];
static double *z, *zs, *outputs;                 /* of the last layer: one sample's, and all (m, n_L) */

static double number(const char *key) {
    char *at = strstr(line, key);
    return at ? strtod(at + strlen(key), NULL) : 0.0;
}

static double *take(double **from, int size) { return (*from += size) - size; }

static double sigmoid(double z_i) {
    double e = exp(-fabs(z_i));
    return z_i >= 0.0 ? 1.0 / (1.0 + e) : e / (1.0 + e);
}

static void forward_sample(int s) {
    for (int i = 0; i < n[0]; i++) a[0][i] = X[i * M + start + s];
    for (int l = 0; l < L; l++) {
        double *out = a[l + 1], top = -INFINITY, total = 0.0;
        for (int i = 0; i < n[l + 1]; i++) {
            double z_i = b[l][i];
            for (int j = 0; j < n[l]; j++) z_i += w[l][i * n[l] + j] * a[l][j];
            if (l == L - 1) z[i] = z_i;
            top = fmax(top, z_i);
            out[i] = g[l] == 'i' ? sigmoid(z_i) : g[l] == 'a' ? tanh(z_i) : g[l] == 'e' ? fmax(z_i, 0.0) : z_i;
        }
        for (int i = 0; g[l] == 'o' && i < n[L]; i++) total += out[i] = exp(out[i] - top);
        for (int i = 0; g[l] == 'o' && i < n[L]; i++) out[i] /= total;
    }
    memcpy(zs + s * n[L], z, n[L] * sizeof *z);
    memcpy(outputs + s * n[L], a[L], n[L] * sizeof *z);
}

static void backward_sample(int s) {
    for (int i = 0; i < n[L]; i++) dz[L][i] = a[L][i] - Y[i * M + start + s];
    for (int l = L - 1; l >= 0; l--) {
        int through = l < L - 1 || loss == 'm'; /* the activation; the cross-entropies begin at z */
        memset(dz[l], 0, n[l] * sizeof *z);
        for (int i = 0; i < n[l + 1]; i++) {
            double a_i = a[l + 1][i], dz_i = dz[l + 1][i];
            if (through && g[l] == 'i') dz_i *= a_i * (1.0 - a_i);
            if (through && g[l] == 'a') dz_i *= 1.0 - a_i * a_i;
            if (through && g[l] == 'e' && !(a_i > 0.0)) dz_i = 0.0;
            for (int j = 0; j < n[l]; j++) {
                dw[l][i * n[l] + j] += dz_i * a[l][j];
                dz[l][j] += w[l][i * n[l] + j] * dz_i;
            }
            db[l][i] += dz_i;
        }
    }
}

static void run(int backward, int step, double learning_rate) {
    for (int l = 0; backward && l < L; l++) {
        memset(dw[l], 0, n[l + 1] * n[l] * sizeof *z);
        memset(db[l], 0, n[l + 1] * sizeof *z);
    }
    pass = start;
    for (int s = 0; s < m; s++) {
        forward_sample(s);
        if (backward) backward_sample(s);
    }
    for (int l = 0; backward && l < L; l++) {
        for (int k = 0; k < n[l + 1] * n[l]; k++) w[l][k] -= learning_rate * (dw[l][k] /= m);
        for (int i = 0; i < n[l + 1]; i++) b[l][i] -= learning_rate * (db[l][i] /= m);
    }
    if (step) start = (start + m) % M;
}

static const char *construct(void) {
    if (!strstr(line, "\"dtype\":\"float64\"") || number("\"threads\":") != 1) return "float64, one thread only";
    if (!strstr(line, "\"optimizer\":\"gradient_descent\",\"l2\":0.0,\"dropout\":0.0,"))
        return "gradient descent without L2 and dropout only";
    char *width = strstr(line, "\"widths\":[") + 10, *name = strstr(line, "\"activations\":[") + 15;
    for (L = -1; L < LAYERS && width[-1] != ']'; width++) n[++L] = strtol(width, &width, 10);
    if (width[-1] != ']') return "100 layers at most";
    for (int l = 0; l < L; l++, name = strchr(name + 1, '"') + 2) g[l] = name[2];
    loss = strstr(line, "\"loss\":\"")[8];
    m = number("\"batch_size\":"), M = number("\"samples\":"), start = 0;
    int size = n[0] * 2 + n[L] * (2 * m + 1);
    for (int l = 0; l < L; l++) size += n[l + 1] * (n[l] + 3);
    double *data = given, *memory = kept = realloc(kept, size * sizeof *z);
    for (int l = 0; l < L; l++) w[l] = take(&data, n[l + 1] * n[l]), dw[l] = take(&memory, n[l + 1] * n[l]);
    for (int l = 0; l < L; l++) b[l] = take(&data, n[l + 1]), db[l] = take(&memory, n[l + 1]);
    for (int l = 0; l <= L; l++) a[l] = take(&memory, n[l]), dz[l] = take(&memory, n[l]);
    X = take(&data, n[0] * M), Y = take(&data, n[L] * M);
    z = take(&memory, n[L]), zs = take(&memory, n[L] * m), outputs = take(&memory, n[L] * m);
    run(1, 0, 0.0);
    return NULL;
}

static double cost(const double *z, const double *a, int s) {
    double total = 0.0, top = -INFINITY, exponentials = 0.0;
    for (int i = 0; i < n[L]; i++) top = fmax(top, z[i]);
    for (int i = 0; i < n[L]; i++) exponentials += exp(z[i] - top);
    for (int i = 0; i < n[L]; i++) {
        double y = Y[i * M + pass + s];
        total += loss == 'm' ? (a[i] - y) * (a[i] - y) / 2.0
               : loss == 'b' ? fmax(z[i], 0.0) - z[i] * y + log1p(exp(-fabs(z[i])))
               : y * (log(exponentials) - (z[i] - top));
    }
    return total;
}

static void export(int id) {
    double J = 0.0, **arrays[] = {dw, db, w, b};
    int size = 1 + n[L] * m;
    for (int l = 0; l < L; l++) size += 2 * n[l + 1] * (n[l] + 1);
    for (int s = 0; s < m; s++) J += cost(zs + s * n[L], outputs + s * n[L], s);
    printf("{\"id\":%d,\"bytes\":%zu}\n", id, size * sizeof J);
    J /= m;
    fwrite(&J, sizeof J, 1, stdout);
    for (int k = 0; k < n[L] * m; k++) fwrite(&outputs[k % m * n[L] + k / m], sizeof J, 1, stdout);
    for (int k = 0; k < 4; k++)
        for (int l = 0; l < L; l++) fwrite(arrays[k][l], sizeof J, n[l + 1] * (k % 2 ? 1 : n[l]), stdout);
}

int main(void) {
    while (fgets(line, LINE, stdin)) {
        int id = number("\"id\":"), times = number("\"times\":"), bytes = number("\"bytes\":");
        const char *kind = strstr(line, "\"kind\":\"") + 8, *refused = NULL;
        if (bytes && fread(given = realloc(given, bytes), 1, bytes, stdin) != (size_t)bytes) return 1;
        if (*kind == 't') times *= number("\"steps\":"); /* train */
        if (*kind == 'c') refused = construct();
        for (int k = 0; k < times; k++)
            run(*kind != 'f', *kind == 's' || *kind == 't', number("\"learning_rate\":"));
        if (*kind == 'e') export(id);
        else if (refused) printf("{\"id\":%d,\"unsupported\":\"%s\"}\n", id, refused);
        else printf("{\"id\":%d}\n", id);
        fflush(stdout);
    }
    return 0;
}
