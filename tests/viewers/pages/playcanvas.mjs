import * as pc from 'playcanvas';
import { camera, shown } from './three.mjs';

const TURNS = { colmap: [180, 0, 0], gl: [0, 0, 0] };

export async function run(job) {
    const canvas = document.createElement('canvas');
    canvas.width = job.width;
    canvas.height = job.height;
    document.getElementById('stage').append(canvas);
    const app = new pc.Application(canvas, { graphicsDeviceOptions: { antialias: false } });
    app.setCanvasFillMode(pc.FILLMODE_NONE, job.width, job.height);
    app.setCanvasResolution(pc.RESOLUTION_FIXED, job.width, job.height);
    Object.assign(app.scene.gsplat, job.options);
    app.start();

    const head = new pc.Entity();
    head.setLocalEulerAngles(...TURNS[job.axes]);
    app.root.addChild(head);
    if (job.url.endsWith('.glb')) {
        head.addChild((await load(app, 'container', job.url)).resource.instantiateRenderEntity());
        for (const mesh of head.findComponents('render')) mesh.enabled = false; // the splats alone
    } else {
        head.addComponent('gsplat', { asset: await load(app, 'gsplat', job.url) });
    }
    const eye = new pc.Entity();
    app.root.addChild(eye);
    eye.addComponent('camera', { clearColor: pc.Color.WHITE, nearClip: 0.05, farClip: 100, fov: job.cameras[0].fov });

    for (const [i, look] of job.cameras.entries()) {
        const seen = camera(look, job);
        eye.setPosition(...seen.position);
        eye.setRotation(...seen.quaternion.toArray());
        let sorted = 0;
        const count = (_camera, _layer, ready, loading) => (sorted = ready && !loading ? sorted + 1 : 0);
        app.systems.gsplat.on('frame:ready', count);
        while (sorted < 5) await shown();
        app.systems.gsplat.off('frame:ready', count);
        await shoot(job.pictures[i]);
    }
    return { splats: app.stats.frame.gsplats, device: app.graphicsDevice.deviceType };
}

function load(app, type, url) {
    const asset = new pc.Asset('head', type, { url });
    app.assets.add(asset);
    return new Promise((done, failed) => {
        asset.ready(done);
        asset.once('error', (reason) => failed(new Error(String(reason))));
        app.assets.load(asset);
    });
}
